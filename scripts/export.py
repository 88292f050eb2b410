"""Hand a trained model on: python scripts/export.py run=latest."""

from textloom.cli import export

if __name__ == "__main__":
    export()
