"""``python -m textloom train ...``: the same as the ``textloom`` command."""

from textloom.cli import main

main()
