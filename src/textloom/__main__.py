"""``python -m textloom train ...``: the same as the ``textloom`` command."""

from textloom.start import start

start()
