"""A group of a comparison as a table of texts, for the terminal, Markdown and HTML."""

from dataclasses import dataclass

from textloom.config.values import value_text
from textloom.reports.compare import Comparison, Group, Row
from textloom.reports.metrics import BITS_PER_CHAR
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


def table_of(group: Group, metric: str) -> TextTable:
    """The varying keys, the metric over seeds, the costs, and the verdicts."""
    bits = () if metric == BITS_PER_CHAR else (BITS_PER_CHAR,)
    named = () if group.keys else ("run",)
    costs = ("parameters", "targets/s", "seconds")
    columns = (*named, *group.keys, metric, *bits, "seeds", *costs, *VERDICTS)
    return TextTable(columns, tuple(_cells(row, group, metric, bool(named), bits) for row in group.rows))


def _cells(row: Row, group: Group, metric: str, named: bool, bits: tuple[str, ...]) -> tuple[str, ...]:
    def cost(name: str, digits: int = 0) -> str:
        return f"{row.figures[name].mean:,.{digits}f}" if name in row.figures else ""

    return (
        *((directory_of(row),) if named else ()),
        *(value_text(row.setting[key]) if key in row.setting else "" for key in group.keys),
        with_deviation(row.figures[metric]),
        *(with_deviation(row.figures[name]) if name in row.figures else "" for name in bits),
        str(row.seeds) if row.seeds else "",
        cost("parameters"),
        cost(SPEED),
        cost(SECONDS, digits=1),
        row.verdict,
        row.against_counting,
    )


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
