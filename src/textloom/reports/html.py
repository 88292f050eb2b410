"""A comparison as a self-contained HTML page: no network access, all texts escaped."""

import base64
import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader

from textloom.reports.compare import Comparison, Group, Row
from textloom.reports.figures import Figure, curve_figures, label, parameter_figures
from textloom.reports.samples import read_memorization, read_samples
from textloom.reports.table import table_of, unranked_table
from textloom.system.streams import visible

PLOTLY = "plotly-basic.min.js.gz"
"""The smallest bundle of plotly.js (npm: plotly.js-basic-dist-min), compressed."""


@dataclass(frozen=True)
class _Sample:
    """A text of the best checkpoint."""

    temperature: str
    text: str
    memorization: str
    """Its memorization; empty if it was not measured."""


@dataclass(frozen=True)
class _Section:
    """The part of the page for one group."""

    heading: str
    columns: tuple[str, ...]
    rows: list[list[tuple[str, float | str]]]  # the cell, and its sort key
    notes: tuple[str, ...]
    figures: list[tuple[str, str]]  # titles and JSON for Plotly
    samples: list[tuple[str, list[_Sample]]]


def render_html(comparison: Comparison) -> str:
    """Render the page, with one compressed copy of Plotly if it has charts."""
    environment = Environment(loader=PackageLoader("textloom.reports", "."), autoescape=True)
    environment.filters["visible"] = visible
    sections = [_section(group, comparison.metric) for group in comparison.groups]
    return environment.get_template("report.html.j2").render(
        metric=comparison.metric,
        sections=sections,
        unranked=unranked_table(comparison),
        plotly=packed_plotly() if any(section.figures for section in sections) else "",
    )


def packed_plotly() -> str:
    """Plotly for ``charts.html.j2``, which draws the charts of a page with it."""
    return base64.b64encode(files("textloom.reports").joinpath(PLOTLY).read_bytes()).decode()


def _section(group: Group, metric: str) -> _Section:
    table = table_of(group, metric)
    figures = [*curve_figures(group, metric), *parameter_figures(group, metric)]
    rows = [
        [(cell, _order(cell)) for cell in (*cells, runs)]
        for cells, runs in zip(table.rows, map(_runs, group.rows), strict=True)
    ]
    samples = [(label(row, group), texts) for row in group.rows if row.records and (texts := _samples(row))]
    columns = (*table.columns, "runs")
    return _Section(group.heading, columns, rows, group.notes, [drawn(figure) for figure in figures], samples)


def _runs(row: Row) -> str:
    return "\n".join(str(record.run.directory) for record in row.records)


def _order(cell: str) -> float | str:
    """The sort key of a cell: the number that it starts with, or its text."""
    try:
        return float(cell.partition(" ")[0].replace(",", ""))
    except ValueError:
        return cell


def _samples(row: Row) -> list[_Sample]:
    run = row.records[0].run
    texts, copied = read_samples(run.samples_file), read_memorization(run)
    return [
        _Sample(temperature, text, str(copied[temperature]) if temperature in copied else "")
        for temperature, text in texts.items()
    ]


def drawn(figure: Figure) -> tuple[str, str]:
    """The title, and JSON that is safe inside a script element."""
    return figure["title"], safe_json(figure)


def safe_json(value: Any) -> str:
    """JSON that is safe inside a script element: it holds no tag."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
