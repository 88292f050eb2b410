"""Sweeps: the trials of a search space, where they run, and their results."""
