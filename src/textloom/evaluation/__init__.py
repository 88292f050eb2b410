"""What a trained model achieves: the same figures in training and from the run directory alone."""
