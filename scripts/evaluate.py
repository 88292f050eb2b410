"""Evaluate a trained run, from its directory alone: python scripts/evaluate.py run=latest."""

from textloom.cli.start import start

if __name__ == "__main__":
    start("evaluate")
