"""A group of a comparison as a table of texts, for the terminal, Markdown and HTML."""

from collections.abc import Callable
from dataclasses import dataclass

from textloom.config.values import value_text
from textloom.reports.compare import Comparison, Group, Row
from textloom.reports.metrics import BITS_PER_CHAR
from textloom.reports.samples import LONGEST_COPY, MEMORIZATION
from textloom.reports.statistics import Spread

SPEED, SECONDS = "train/targets_per_second", "duration_seconds"
LESS_IMPORTANT = ("seconds", "targets/s", "parameters", BITS_PER_CHAR)  # left out first if the terminal is narrow


@dataclass(frozen=True)
class TextTable:
    """Column titles, and the cells of each row."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def without(self, column: str) -> "TextTable":
        """The table without one column."""
        place = self.columns.index(column)
        rows = tuple(row[:place] + row[place + 1 :] for row in self.rows)
        return TextTable(self.columns[:place] + self.columns[place + 1 :], rows)


VERDICTS = ("verdict", "counting")


Cell = Callable[[Row], str]
"""The text of a column in a row."""


def table_of(group: Group, metric: str) -> TextTable:
    """The varying keys, the metric over seeds, the costs, and the verdicts; figures of samples if all are shown."""
    samples = MEMORIZATION if group.all_columns else ()
    columns: dict[str, Cell] = {
        **({key: _setting(key) for key in group.keys} or {"run": directory_of}),
        **{name: _measured(name) for name in (metric, BITS_PER_CHAR)},
        "seeds": lambda row: str(row.seeds) if row.seeds else "",
        "parameters": _mean("parameters"),
        "targets/s": _mean(SPEED),
        "seconds": _mean(SECONDS, digits=1),
        **{name: _mean(name, 0 if name == LONGEST_COPY else 3) for name in samples if _has(group, name)},
        "verdict": lambda row: row.verdict,
        "counting": lambda row: row.against_counting,
    }
    return TextTable(tuple(columns), tuple(tuple(cell(row) for cell in columns.values()) for row in group.rows))


def _setting(key: str) -> Cell:
    return lambda row: value_text(row.setting[key]) if key in row.setting else ""


def _measured(name: str) -> Cell:
    return lambda row: with_deviation(row.figures[name]) if name in row.figures else ""


def _mean(name: str, digits: int = 0) -> Cell:
    return lambda row: f"{row.figures[name].mean:,.{digits}f}" if name in row.figures else ""


def _has(group: Group, name: str) -> bool:
    return any(name in row.figures for row in group.rows)


def directory_of(row: Row) -> str:
    """The first run directory of a row, or the name of a baseline."""
    return str(row.records[0].run.directory) if row.records else str(row.setting["model.cell"])


def with_deviation(spread: Spread) -> str:
    """The mean with its standard deviation: 1.2345 ± 0.0012."""
    digits = 4 if abs(spread.mean) < 100 else 1
    deviation = "" if spread.deviation is None else f" ± {spread.deviation:.{digits}f}"
    return f"{spread.mean:,.{digits}f}{deviation}"


def unranked_table(comparison: Comparison) -> TextTable:
    """The table of runs without a final figure."""
    rows = tuple((str(run.directory), run.status, run.reason) for run in comparison.unranked)
    return TextTable(("not ranked", "status", "reason"), rows)
