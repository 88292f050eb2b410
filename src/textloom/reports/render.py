"""A comparison in the format that was asked for."""

import os
import shutil
import sys

from textloom.reports.comparison import Comparison
from textloom.reports.formats import RENDERERS
from textloom.reports.text import render_text


def render(comparison: Comparison, form: str) -> str:
    """Text for stdout; a table for the terminal is as wide as the terminal, and one for a file as wide as it needs."""
    if form == "text":
        bounded = sys.stdout.isatty() or "COLUMNS" in os.environ
        return render_text(comparison, shutil.get_terminal_size().columns if bounded else None)
    if form == "html":
        from textloom.reports.html import render_html  # plotly and tensorboard take their time

        return render_html(comparison)
    return RENDERERS[form](comparison)
