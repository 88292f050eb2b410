"""Generate text with a trained run: python scripts/generate.py run=latest prompt=deep."""

from textloom.cli import generate

if __name__ == "__main__":
    generate()
