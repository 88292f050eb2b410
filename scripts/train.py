"""Train a recurrent language model: python scripts/train.py model.units=256."""

from textloom.cli import train

if __name__ == "__main__":
    train()
