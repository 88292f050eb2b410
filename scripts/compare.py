"""Compare runs: python scripts/compare.py runs='outputs/**'."""

from textloom.cli.start import start

if __name__ == "__main__":
    start("compare")
