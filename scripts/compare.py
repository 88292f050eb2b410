"""Compare runs: python scripts/compare.py runs='outputs/**'."""

from textloom.cli import compare

if __name__ == "__main__":
    compare()
