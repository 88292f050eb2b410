"""``python -m textloom train ...``: the same as the ``textloom`` command."""

from textloom.cli.start import start

start()
