"""Sweeps: which trials to run, where they run, and what became of each."""
