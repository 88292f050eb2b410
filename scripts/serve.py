"""Serve trained runs over HTTP: python scripts/serve.py run=latest."""

from textloom.cli.start import start

if __name__ == "__main__":
    start("serve")
