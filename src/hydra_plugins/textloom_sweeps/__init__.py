"""What Hydra finds of textloom."""
