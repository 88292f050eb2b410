"""Train a recurrent language model: python scripts/train.py model.units=256."""

from textloom.cli.start import start

if __name__ == "__main__":
    start("train")
