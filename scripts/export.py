"""Export a trained model: python scripts/export.py run=latest."""

from textloom.cli.start import start

if __name__ == "__main__":
    start("export")
