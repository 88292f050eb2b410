"""The plugins of textloom for Hydra."""
