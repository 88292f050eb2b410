"""The charts of a report: learning curves (Plotly), parallel coordinates and parameter importance (Optuna's)."""

import warnings
from collections.abc import Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go

from textloom.metrics import lower_is_better
from textloom.reports.comparison import Group, Row
from textloom.reports.events import Curve, read_curves
from textloom.reports.metrics import BITS_PER_CHAR
from textloom.reports.table import shown

COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2", "#9d755d", "#eeca3b", "#ff9da6", "#79706e")
AXES = {"steps": "optimizer steps", "targets": "targets trained on", "seconds": "seconds of wall time"}
ENOUGH_TRIALS = 4  # fewer runs say nothing about which key matters


def curve_figures(group: Group, metric: str) -> list[go.Figure]:
    """The metric (bits per character where it is no curve) and the training loss against steps, targets and time."""
    tag = metric if metric.startswith("val/") else BITS_PER_CHAR
    traces: dict[str, list[tuple[Row, str, Curve]]] = {tag: [], "train/loss": []}
    for row in group.rows:
        for record in row.records if not row.counts else ():
            curves = read_curves(record.run, tuple(traces))
            name = f"{label(row, group)}, seed={record.config.get('seed')}" if row.seeds > 1 else label(row, group)
            for found, curve in curves.items():
                traces[found].append((row, name, curve))
    return [_curves(found, group, drawn) for found, drawn in traces.items() if drawn]


def label(row: Row, group: Group) -> str:
    """What sets a row apart from the others."""
    trained = [other for other in group.rows if not other.counts]
    keys = group.keys if row.counts else [key for key in group.keys if _varies(key, trained)]
    own = [f"{key}={shown(row.setting[key])}" for key in keys if key in row.setting]
    return ", ".join(own) or str(row.records[0].run.directory)


def _varies(key: str, rows: Sequence[Row]) -> bool:
    return len({repr(row.setting[key]) for row in rows if key in row.setting}) > 1


def _curves(tag: str, group: Group, drawn: list[tuple[Row, str, Curve]]) -> go.Figure:
    figure = go.Figure()
    trained = [row for row in group.rows if not row.counts]
    for row, name, curve in drawn:
        colour = COLOURS[trained.index(row) % len(COLOURS)]
        # plotly reads names as its own kind of HTML
        figure.add_scatter(
            x=_along(curve, "steps"), y=curve.values, name=escape(name), mode="lines+markers", line_color=colour
        )
    counted = next((row for row in group.rows if row.counts and tag in row.figures), None)
    if counted is not None:
        name = escape(str(counted.setting["model.cell"]))
        figure.add_hline(counted.figures[tag].mean, line_dash="dash", annotation_text=name)
    menu = {"type": "buttons", "direction": "right", "x": 1, "y": 1, "yanchor": "bottom"}
    buttons = [
        {
            "label": f"against {axis}",
            "method": "update",
            "args": [{"x": [_along(curve, axis) for _, _, curve in drawn]}, {"xaxis.title.text": title}],
        }
        for axis, title in AXES.items()
    ]
    figure.update_layout(
        title=tag,
        xaxis_title=AXES["steps"],
        yaxis_title=tag,
        showlegend=True,
        height=450 + 20 * len(drawn),  # the legend stands below, a line for each run
        legend={"orientation": "h", "yanchor": "bottom", "yref": "container", "y": 0},
        updatemenus=[{"buttons": buttons, **menu}],
    )
    return figure


def _along(curve: Curve, axis: str) -> list[float]:
    values = getattr(curve, axis)
    return [] if values is None else [float(value) for value in values]


# --- Optuna's ---------------------------------------------------------------------------------------------------------


def parameter_figures(group: Group, metric: str) -> list[go.Figure]:
    """Parallel coordinates of the keys that vary, and how much each matters (PED-ANOVA: Watanabe et al. 2023,
    arXiv 2304.10255), where there are runs enough."""
    import optuna

    runs = [(row, record) for row in group.rows if not row.counts for record in row.records]
    rows = [row for row, _ in runs]
    keys = [key for key in group.keys if _varies(key, rows) and all(key in row.setting for row in rows)]
    if not keys or len(runs) < ENOUGH_TRIALS:
        return []
    distributions = {key: _distribution([row.setting[key] for row, _ in runs]) for key in keys}
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna calls both experimental
        study = optuna.create_study(direction="minimize" if lower_is_better(metric) else "maximize")
        for row, record in runs:
            params = {key: _value(row.setting[key], distributions[key]) for key in keys}
            value = record.results[metric]
            study.add_trial(optuna.create_trial(params=params, distributions=distributions, value=value))
        figures = [optuna.visualization.plot_parallel_coordinate(study, params=keys, target_name=metric)]
        try:
            evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.25)  # few runs: more at the top
            figures.append(optuna.visualization.plot_param_importances(study, evaluator, target_name=metric))
        except (ValueError, RuntimeError):  # every run has the same figure
            pass
    optuna.logging.set_verbosity(verbosity)
    return figures


def _distribution(values: list[Any]) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if not numbers:
        return CategoricalDistribution(tuple(dict.fromkeys(escape(shown(value)) for value in values)))
    low, high = min(values), max(values)
    log = low > 0 and high / low >= 8
    if all(isinstance(value, int) for value in values):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(float(low), float(high), log=log)


def _value(value: Any, distribution: Any) -> Any:
    return escape(shown(value)) if hasattr(distribution, "choices") else value
