"""Scores of a trained model: the same in training and from the run directory."""
