"""A comparison in the format that was asked for."""

import shutil

from textloom.reports.comparison import Comparison
from textloom.reports.formats import RENDERERS
from textloom.reports.text import render_text

WITHOUT_A_TERMINAL = 120  # columns


def render(comparison: Comparison, form: str, bounded: bool = True) -> str:
    """Text for stdout; a table for people is as wide as their terminal, unless it is not ``bounded``."""
    if form == "text":
        return render_text(comparison, shutil.get_terminal_size((WITHOUT_A_TERMINAL, 24)).columns if bounded else None)
    if form == "html":
        from textloom.reports.html import render_html  # tensorboard takes its time

        return render_html(comparison)
    return RENDERERS[form](comparison)
