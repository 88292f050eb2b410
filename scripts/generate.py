"""Generate text with a trained run: python scripts/generate.py run=latest prompt=deep."""

from textloom.cli.start import start

if __name__ == "__main__":
    start("generate")
