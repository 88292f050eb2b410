"""Prepare data for training: python scripts/prepare.py data=patents data.source=odp data.query="neural network*"."""

from textloom.cli.start import start

if __name__ == "__main__":
    start("prepare")
