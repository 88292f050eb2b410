"""Compare runs: python scripts/compare.py runs='outputs/**'."""

from textloom.start import start

if __name__ == "__main__":
    start("compare")
