"""A comparison of runs for Python: rows of plain values, a pandas DataFrame, a table in a notebook."""

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from textloom.errors import ConfigError
from textloom.reports.compare import Comparison, Row
from textloom.reports.render import render
from textloom.reports.table import TextTable, table_of, unranked_table

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, repr=False)
class ComparisonTable:
    """Configurations that were trained, the best first; figures of different groups do not compare."""

    comparison: Comparison

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row a configuration: its group, the keys that vary, means and standard deviations, verdicts, runs."""
        groups = self.comparison.groups
        keys = list(dict.fromkeys(key for group in groups for key in group.keys))
        return [_row(group.heading, keys, row) for group in groups for row in group.rows]

    @property
    def unranked(self) -> list[dict[str, str]]:
        """The runs that have no final figure: directory, status, reason."""
        return [
            {"run": str(run.directory), "status": run.status, "reason": run.reason} for run in self.comparison.unranked
        ]

    def to_pandas(self) -> "DataFrame":
        """The rows as a DataFrame. Raises ConfigError if pandas is not installed."""
        try:
            import pandas  # optional, and slow to import
        except ImportError as error:
            raise ConfigError("to_pandas: pandas is not installed; pip install pandas, or take rows") from error
        return pandas.DataFrame(self.rows)

    def __len__(self) -> int:
        return sum(len(group.rows) for group in self.comparison.groups)

    def __repr__(self) -> str:
        return render(self.comparison, "text")

    def _repr_html_(self) -> str:
        """Tables for a notebook."""
        parts = []
        for group in self.comparison.groups:
            parts += [f"<h4>{escape(group.heading)}</h4>", _html(table_of(group, self.comparison.metric))]
            parts += [f"<p>{escape(note)}</p>" for note in group.notes]
        if self.comparison.unranked:
            parts.append(_html(unranked_table(self.comparison)))
        return "\n".join(parts) or "<p>no run is completed: nothing to rank</p>"


def _row(heading: str, keys: list[str], row: Row) -> dict[str, Any]:
    setting = {key: row.setting.get(key) for key in keys}
    runs = [str(record.run.directory) for record in row.records]
    return {"group": heading, **setting, **row.values(), "runs": runs}


def _html(table: TextTable) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in table.columns)
    rows = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in table.rows)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"
