"""Run directories: files, checkpoints, provenance, and how to find them."""
