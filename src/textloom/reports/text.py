"""A comparison as text, fitted to the width of the terminal."""

import re
import textwrap
from pathlib import Path

from textloom.reports.compare import Comparison, Group, Row
from textloom.reports.metrics import lower_is_better
from textloom.reports.table import LESS_IMPORTANT, VERDICTS, TextTable, table_of, unranked_table
from textloom.system.columns import column_count, padded, shortened

GAP = "  "
READABLE = 22  # characters of a text that stay visible; costs are left out to make room for them
NARROWEST = 12  # characters that a shortened text always keeps
INDENT = "    "


def render_text(comparison: Comparison, width: int | None = None) -> str:
    """Render tables one below the other, at most ``width`` characters wide (None: no limit)."""
    parts = []
    if len(comparison.groups) > 1:
        parts.append(f"{len(comparison.groups)} groups: figures of different groups do not compare.")
    for group in comparison.groups:
        lines, left_out = _fitted(group, comparison.metric, width)
        notes = list(group.notes)
        if left_out:
            notes.append(f"omitted for lack of width: {', '.join(left_out)}; columns=all shows all")
        trained = [row for row in group.rows if not row.is_ngram]
        if trained:
            notes.append(f"best run: {_best_directory(trained[0], comparison.metric)}")
        parts += [_wrapped(group.heading, width), "\n".join(lines), "\n".join(_wrapped(note, width) for note in notes)]
    if not comparison.groups:
        parts.append("no run is completed: nothing to rank")
    if comparison.unranked:
        listed = [f"{INDENT}{GAP.join(cells)}".rstrip() for cells in unranked_table(comparison).rows]
        parts.append("\n".join(["not ranked:", *(_wrapped(line, width, 2 * INDENT) for line in listed)]))
    return "\n\n".join(part for part in parts if part)


def _best_directory(row: Row, metric: str) -> Path:
    """The run directory of the best seed."""
    sign = 1 if lower_is_better(metric) else -1
    return min(row.records, key=lambda record: sign * record.results[metric]).run.directory


def _wrapped(text: str, width: int | None, indent: str = "") -> str:
    """Wrap between words; a word longer than a line, such as a path, stays whole."""
    if width is None:
        return text
    return textwrap.fill(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


WHOLE, AT_DOTS, AT_UNDERSCORES = None, "./ ", "./ _"  # characters after which a title may be broken


def _fitted(group: Group, metric: str, width: int | None) -> tuple[list[str], list[str]]:
    """The lines of a group's table, and the columns that were left out.

    If it is too wide, titles are broken first, then costs are left out, then texts shortened, then the comparison with
    n-gram models is left out, whose rows show the same; figures and verdicts are never changed. If that is not enough,
    the keys of each row are printed below it.
    """
    table = table_of(group, metric)
    if width is None or _total(_widths(table, WHOLE)) <= width:
        return _lines(table, _widths(table, WHOLE), WHOLE), []
    table, left_out = _without_costs(table, metric, width)
    for candidate in (table, table.without("counting")):
        for breaks in (AT_DOTS, AT_UNDERSCORES):
            widths = _shrunk(candidate, width, NARROWEST, breaks)
            if _total(widths) <= width:
                return _lines(candidate, widths, breaks), left_out + ["counting"] * (candidate is not table)
    return _stacked(table, len(group.keys) or 1, width), left_out


def _without_costs(table: TextTable, metric: str, width: int) -> tuple[TextTable, list[str]]:
    left_out = []
    for column in LESS_IMPORTANT:
        too_wide = _total(_shrunk(table, width, READABLE, AT_DOTS)) > width
        if column in table.columns and column != metric and too_wide:
            table = table.without(column)
            left_out.append(column)
    return table, left_out


def _stacked(table: TextTable, keys: int, width: int) -> list[str]:
    """The columns after the keys as a table, with the keys of each row below it."""
    figures = TextTable(table.columns[keys:], tuple(row[keys:] for row in table.rows))
    below = [
        [f"{key}={cell}" for key, cell in zip(table.columns[:keys], row[:keys], strict=True) if cell]
        for row in table.rows
    ]
    for column in reversed(VERDICTS):
        if _total(_widths(figures, AT_DOTS)) > width:
            place = figures.columns.index(column)
            below = [[*row[place].split(), *words] for row, words in zip(figures.rows, below, strict=True)]
            figures = figures.without(column)
    lines = _lines(figures, _widths(figures, AT_DOTS), AT_DOTS)
    header, rows = lines[: -len(table.rows)], lines[-len(table.rows) :]
    return [*header, *(line for row, words in zip(rows, below, strict=True) for line in (row, *_filled(words, width)))]


def _filled(words: list[str], width: int) -> list[str]:
    """Indented lines of words; words longer than a line are shortened."""
    lines: list[str] = []
    for word in words:
        fitting = shortened(word, width - len(INDENT))
        if lines and column_count(lines[-1]) + 1 + column_count(fitting) <= width:
            lines[-1] += f" {fitting}"
        else:
            lines.append(INDENT + fitting)
    return lines


def _lines(table: TextTable, widths: list[int], breaks: str | None) -> list[str]:
    numeric = _numeric(table)
    titles = [_pieces(column, breaks) for column in table.columns]
    height = max(map(len, titles))
    header = zip(*([""] * (height - len(title)) + title for title in titles), strict=True)
    lines = [*header, tuple("-" * wide for wide in widths), *table.rows]
    return [_line(cells, widths, numeric) for cells in lines]


def _pieces(title: str, breaks: str | None) -> list[str]:
    """Split a title after the characters in ``breaks``: val/bits_per_char -> val/, bits_per_char."""
    return re.findall(f"[^{breaks}]*[{breaks}]|[^{breaks}]+", title) if breaks else [title]


def _widths(table: TextTable, breaks: str | None) -> list[int]:
    titles = [max(map(len, _pieces(title, breaks))) for title in table.columns]
    return [max(title, *(column_count(row[i]) for row in table.rows)) for i, title in enumerate(titles)]


def _total(widths: list[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _shrunk(table: TextTable, width: int, narrowest: int, breaks: str | None) -> list[int]:
    """The widths with the widest text columns narrowed until the table fits; verdicts keep theirs."""
    widths, numeric = _widths(table, breaks), _numeric(table)
    text = [i for i, column in enumerate(table.columns) if not numeric[i] and column not in VERDICTS]
    while text and _total(widths) > width:
        widest = max(text, key=widths.__getitem__)
        if widths[widest] <= narrowest:
            break
        widths[widest] -= 1
    return widths


def _numeric(table: TextTable) -> list[bool]:
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
        padded(shortened(cell, wide), wide, right) for cell, wide, right in zip(cells, widths, numeric, strict=True)
    )
    return GAP.join(fitted).rstrip()
