"""A comparison in a terminal, fitted to its width."""

import re
import textwrap
from pathlib import Path

from textloom.metrics import lower_is_better
from textloom.reports.comparison import Comparison, Row
from textloom.reports.table import LESS_IMPORTANT, Table, table_of, unranked_table

GAP = "  "
READABLE = 22  # characters of a text that costs are left out for
NARROWEST = 8  # characters that a shortened text keeps in any case


def render_text(comparison: Comparison, width: int | None = None) -> str:
    """Tables, one under the other, none wider than ``width`` characters (None: as wide as they are)."""
    parts = []
    if len(comparison.groups) > 1:
        parts.append(f"{len(comparison.groups)} groups: figures of different groups do not compare.")
    for group in comparison.groups:
        lines, left_out = _fitted(table_of(group, comparison.metric), width, comparison.metric)
        notes = list(group.notes)
        if left_out:
            notes.append(f"left out for lack of width: {', '.join(left_out)}; format=csv has all")
        trained = [row for row in group.rows if not row.counts]
        if trained:
            notes.append(f"best run: {_best_directory(trained[0], comparison.metric)}")
        parts += [_wrapped(group.heading, width), "\n".join(lines), "\n".join(_wrapped(note, width) for note in notes)]
    if not comparison.groups:
        parts.append("no run is completed: nothing to rank")
    if comparison.unranked:
        parts.append("\n".join(_fitted(unranked_table(comparison), width)[0]))
    return "\n\n".join(part for part in parts if part)


def _best_directory(row: Row, metric: str) -> Path:
    """Of the seed that did best."""
    sign = 1 if lower_is_better(metric) else -1
    return min(row.records, key=lambda record: sign * record.results[metric]).run.directory


def _wrapped(text: str, width: int | None) -> str:
    if width is None:
        return text
    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)


def _fitted(table: Table, width: int | None, metric: str = "") -> tuple[list[str], list[str]]:
    """The lines of a table, and the columns that found no room.

    Where it is too wide, titles are broken first, then the costs are left out, then text is shortened; figures never.
    """
    left_out: list[str] = []
    broken = width is not None and _total(_widths(table, broken=False)) > width
    if width is not None:
        for column in LESS_IMPORTANT:
            if column in table.columns and column != metric and _total(_shrunk(table, broken, width, READABLE)) > width:
                table = table.without(column)
                left_out.append(column)
    widths = _widths(table, broken) if width is None else _shrunk(table, broken, width, NARROWEST)
    numeric = _numeric(table)
    titles = [_pieces(column) if broken else [column] for column in table.columns]
    height = max(map(len, titles))
    header = zip(*([""] * (height - len(title)) + title for title in titles), strict=True)
    lines = [*header, tuple("-" * wide for wide in widths), *table.rows]
    return [_line(cells, widths, numeric) for cells in lines], left_out


def _pieces(title: str) -> list[str]:
    """val/bits_per_char -> val/, bits_per_char."""
    return re.findall(r"[^./ ]*[./ ]|[^./ ]+", title)


def _widths(table: Table, broken: bool) -> list[int]:
    titles = [max(map(len, _pieces(title))) if broken else len(title) for title in table.columns]
    return [max(title, *(len(row[i]) for row in table.rows)) for i, title in enumerate(titles)]


def _total(widths: list[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _shrunk(table: Table, broken: bool, width: int, narrowest: int) -> list[int]:
    """The widths with the widest columns of text made narrower, as far as they go."""
    widths, text = _widths(table, broken), [i for i, figures in enumerate(_numeric(table)) if not figures]
    while text and _total(widths) > width:
        widest = max(text, key=widths.__getitem__)
        if widths[widest] <= narrowest:
            break
        widths[widest] -= 1
    return widths


def _numeric(table: Table) -> list[bool]:
    return [all(_is_number(row[i]) for row in table.rows) for i in range(len(table.columns))]


def _is_number(cell: str) -> bool:
    first = cell.partition(" ")[0].replace(",", "")
    try:
        float(first or "0")
    except ValueError:
        return False
    return True


def _line(cells: tuple[str, ...], widths: list[int], numeric: list[bool]) -> str:
    fitted = (
        _shortened(cell, wide).rjust(wide) if right else _shortened(cell, wide).ljust(wide)
        for cell, wide, right in zip(cells, widths, numeric, strict=True)
    )
    return GAP.join(fitted).rstrip()


def _shortened(cell: str, width: int) -> str:
    """Cut in the middle: paths and keys say the most at both ends."""
    printable = "".join(c if c.isprintable() else " " for c in cell)
    if len(printable) <= width:
        return printable
    head = (width - 1) // 2
    return f"{printable[:head]}…{printable[len(printable) - (width - 1 - head) :]}"
