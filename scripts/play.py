"""Play with trained runs in the browser: python scripts/play.py run=latest."""

from textloom.cli.start import start

if __name__ == "__main__":
    start("play")
