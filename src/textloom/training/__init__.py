"""Training: the LightningModule, its callbacks, and the function that puts all parts together."""
