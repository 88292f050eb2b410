"""Comparison of runs: their differences, their ranking, and the significance of it."""
