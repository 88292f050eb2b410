"""The charts of a report as JSON for Plotly: learning curves, parallel coordinates, importance of keys.

Optuna is imported by the functions that need it, because it is slow to import.
"""

import warnings
from collections.abc import Sequence
from html import escape
from math import isfinite, log
from typing import Any

import numpy as np

from textloom.config.values import value_text
from textloom.reports.compare import Group, Row
from textloom.reports.events import Curve, read_curves
from textloom.reports.metrics import BITS_PER_CHAR, lower_is_better

COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2", "#9d755d", "#eeca3b", "#ff9da6", "#79706e")
DASHES = ("solid", "dash", "dot", "dashdot")  # used in turn once all colours are used
AXES = {"steps": "optimizer steps", "targets": "targets trained on", "seconds": "seconds of wall time"}
POINTS = 200  # most points of a curve
ENOUGH_FOR_COORDINATES = 4  # different configurations
ENOUGH_FOR_IMPORTANCE = 10  # PED-ANOVA compares the best quarter with all rows
LARGE_RATIO = 8  # largest to smallest value from which an axis is logarithmic

Figure = dict[str, Any]


def curve_figures(group: Group, metric: str) -> list[Figure]:
    """Curves of the metric, or of bits per character if it has none, and of the training loss."""
    tag = metric if metric.startswith("val/") else BITS_PER_CHAR
    traces: dict[str, list[Figure]] = {tag: [], "train/loss": []}
    for number, row in enumerate(_trained(group)):
        for record in row.records:
            seed = f", seed={record.config.get('seed')}" if row.seeds > 1 else ""
            for found, curve in read_curves(record.run, tuple(traces)).items():
                first = record is row.records[0]
                traces[found].append(_trace(curve, label(row, group), seed, number, first))
    return [_curves(found, group, drawn) for found, drawn in traces.items() if drawn]


def label(row: Row, group: Group) -> str:
    """The keys in which the row differs from the others."""
    keys = group.keys if row.is_ngram else [key for key in group.keys if _varies(key, _trained(group))]
    own = [f"{key}={value_text(row.setting[key])}" for key in keys if key in row.setting]
    return ", ".join(own) or str(row.records[0].run.directory)


def _trained(group: Group) -> list[Row]:
    return [row for row in group.rows if not row.is_ngram]


def _varies(key: str, rows: Sequence[Row]) -> bool:
    return len({repr(row.setting[key]) for row in rows if key in row.setting}) > 1


def _trace(curve: Curve, name: str, seed: str, number: int, in_legend: bool) -> Figure:
    """A line; ``axes`` is read by the buttons of the page."""
    kept = np.unique(np.linspace(0, len(curve.values) - 1, min(POINTS, len(curve.values))).astype(int))
    axes = {axis: _rounded(getattr(curve, axis), kept) for axis in AXES}
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": axes["steps"],
        "y": _rounded(curve.values, kept),
        "axes": axes,
        "name": escape(name),  # Plotly reads names as its own kind of HTML
        "hovertemplate": f"%{{y:.4f}} at %{{x}}<extra>{escape(name + seed)}</extra>",
        "legendgroup": str(number),
        "showlegend": in_legend,
        "line": {"color": COLOURS[number % len(COLOURS)], "dash": DASHES[number // len(COLOURS) % len(DASHES)]},
        "marker": {"size": 4},
    }


def _rounded(values: np.ndarray | None, kept: np.ndarray) -> list[float | None]:
    """The kept values with six digits; None for infinities, which JSON lacks."""
    chosen = [] if values is None else values[kept].tolist()
    return [float(f"{value:.6g}") if isfinite(value) else None for value in chosen]


def _curves(tag: str, group: Group, traces: list[Figure]) -> Figure:
    counted = next((row for row in group.rows if row.is_ngram and tag in row.figures), None)
    line, text = [], []
    if counted is not None:
        level = counted.figures[tag].mean
        across = {"xref": "paper", "x0": 0, "x1": 1, "y0": level, "y1": level}
        line = [{"type": "line", **across, "line": {"dash": "dash", "width": 1}}]
        name = escape(str(counted.setting["model.cell"]))
        text = [{"xref": "paper", "x": 1, "y": level, "text": name, "showarrow": False, "yanchor": "bottom"}]
    entries = sum(trace["showlegend"] for trace in traces)
    layout = {
        "xaxis": {"title": {"text": AXES["steps"]}, "automargin": True},
        "yaxis": {"title": {"text": tag}, "automargin": True},
        "shapes": line,
        "annotations": text,
        "height": 420 + 20 * entries,  # the legend is below, one line for each row
        "legend": {"orientation": "h", "yanchor": "bottom", "yref": "container", "y": 0},
        "showlegend": True,
        "margin": {"t": 20, "r": 20},
    }
    return {"title": tag, "data": traces, "layout": layout}


# --- parameters -------------------------------------------------------------------------------------------------------


def parameter_figures(group: Group, metric: str) -> list[Figure]:
    """Parallel coordinates of the varying keys and their importance, if there are enough configurations."""
    rows = [row for row in _trained(group) if isfinite(row.figures[metric].mean)]
    keys = [key for key in group.keys if _varies(key, rows) and all(key in row.setting for row in rows)]
    figures = []
    if keys and len(rows) >= ENOUGH_FOR_COORDINATES:
        figures.append(_parallel_coordinates(rows, keys, group, metric))
    if keys and len(rows) >= ENOUGH_FOR_IMPORTANCE:
        importances = _importances(rows, keys, metric)
        if importances:
            figures.append(_bars(importances, metric))
    return figures


def _parallel_coordinates(rows: list[Row], keys: list[str], group: Group, metric: str) -> Figure:
    """A line for each configuration across all axes, from blue (best) to yellow."""
    columns = {key: [row.setting[key] for row in rows] for key in keys}
    columns[metric] = [row.figures[metric].mean for row in rows]
    axes = [_Axis(values) for values in columns.values()]
    places = [[axis.place(value) for value in values] for axis, values in zip(axes, columns.values(), strict=True)]
    traces, annotations = [], []
    for number, row in enumerate(rows):
        worse = places[-1][number] if lower_is_better(metric) else 1 - places[-1][number]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": list(range(len(axes))),
                "y": [column[number] for column in places],
                "line": {"color": _between("#31688e", "#fde725", worse)},
                "hovertemplate": f"{escape(label(row, group))}<extra>{columns[metric][number]:.4f}</extra>",
            }
        )
    for x, axis in enumerate(axes):
        for value in axis.marks:
            text = f"{value:.4g}" if isinstance(value, float) else value_text(value)
            at = {"x": x, "y": axis.place(value), "text": escape(text), "showarrow": False}
            annotations.append({**at, "xanchor": "left", "xshift": 4, "bgcolor": "rgba(255,255,255,0.7)"})
    ticks = {"tickvals": list(range(len(axes))), "ticktext": [escape(name) for name in columns]}
    layout = {
        "xaxis": {**ticks, "showgrid": True, "gridcolor": "#888", "range": [-0.1, len(axes) - 0.6], "automargin": True},
        "yaxis": {"visible": False, "range": [-0.08, 1.08]},
        "annotations": annotations,
        "showlegend": False,
        "hovermode": "closest",
        "height": 420,
        "margin": {"t": 20, "l": 20},
    }
    return {"title": "keys and results", "data": traces, "layout": layout}


class _Axis:
    """Maps values to 0..1: numbers linearly or logarithmically, others in order of appearance."""

    def __init__(self, values: Sequence[Any]):
        self.numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        if self.numbers:
            low, high = min(values), max(values)
            self.logarithmic = low > 0 and high / low >= LARGE_RATIO
            distinct = sorted(set(values))
            self.marks = distinct if len(distinct) <= 6 else [low, high]
            self.low, self.high = self._scaled(low), self._scaled(high)
        else:
            self.marks = list({value_text(value): value for value in values}.values())

    def place(self, value: Any) -> float:
        if self.numbers:
            span = self.high - self.low
            return (self._scaled(value) - self.low) / span if span else 0.5
        names = [value_text(mark) for mark in self.marks]
        return names.index(value_text(value)) / max(1, len(names) - 1)

    def _scaled(self, value: float) -> float:
        return log(value) if self.logarithmic else float(value)


def _between(first: str, last: str, share: float) -> str:
    """The colour at a share of the way from the first to the last."""
    channels = [(int(first[i : i + 2], 16), int(last[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in channels)


def _importances(rows: list[Row], keys: list[str], metric: str) -> dict[str, float]:
    """Importance of each key by PED-ANOVA (arXiv 2304.10255); empty if all rows have the same figure."""
    import optuna

    distributions = {key: _distribution([row.setting[key] for row in rows]) for key in keys}
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the evaluator is experimental in Optuna
        study = optuna.create_study(direction="minimize" if lower_is_better(metric) else "maximize")
        for row in rows:
            params = {key: _value(row.setting[key], distributions[key]) for key in keys}
            value = row.figures[metric].mean
            study.add_trial(optuna.create_trial(params=params, distributions=distributions, value=value))
        try:
            evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.25)  # few runs: more at the top
            found = optuna.importance.get_param_importances(study, evaluator=evaluator)
        except (ValueError, RuntimeError):
            found = {}
    optuna.logging.set_verbosity(verbosity)
    return {key: value for key, value in found.items() if isfinite(value)}


def _bars(importances: dict[str, float], metric: str) -> Figure:
    names = list(importances)[::-1]
    values = [importances[name] for name in names]
    bars = {"type": "bar", "orientation": "h", "x": values, "y": [escape(name) for name in names]}
    layout = {
        "xaxis": {"title": {"text": f"importance for {escape(metric)}, as a share (PED-ANOVA)"}},
        "yaxis": {"automargin": True},
        "height": 120 + 30 * len(names),
        "margin": {"t": 20},
    }
    return {
        "title": "importance of each key",
        "data": [{**bars, "hovertemplate": "%{x:.2f}<extra></extra>"}],
        "layout": layout,
    }


def _distribution(values: list[Any]) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if not numbers:
        return CategoricalDistribution(tuple(dict.fromkeys(value_text(value) for value in values)))
    low, high = min(values), max(values)
    logarithmic = low > 0 and high / low >= LARGE_RATIO
    if all(isinstance(value, int) for value in values):
        return IntDistribution(low, high, log=logarithmic)
    return FloatDistribution(float(low), float(high), log=logarithmic)


def _value(value: Any, distribution: Any) -> Any:
    return value_text(value) if hasattr(distribution, "choices") else value
