"""Score a trained run again, from its directory alone: python scripts/evaluate.py run=latest."""

from textloom.cli import evaluate

if __name__ == "__main__":
    evaluate()
