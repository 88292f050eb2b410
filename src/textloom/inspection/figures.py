"""The charts of an inspection as JSON for Plotly, in the form of ``reports.figures``."""

from typing import Any

import numpy as np

from textloom.inspection.gates import GateUse, time_scales
from textloom.inspection.measure import Inspection
from textloom.inspection.surprise import Means, loss_along_text, loss_by_document_position
from textloom.reports.figures import COLOURS, Figure

LONGEST_SCALE = 1e6  # tokens; a gate that is always open would keep its state for ever


def position_figures(found: Inspection) -> list[Figure]:
    """Loss along the text, and by the position in the document."""
    along = loss_along_text(found.nats)
    by_position = loss_by_document_position(found.nats, found.text.positions)
    return [
        _means("loss along the text", along, "token of the text", logarithmic=False),
        _means("loss by position in the document", by_position, "token of its document", logarithmic=True),
    ]


def _means(title: str, means: Means, axis: str, logarithmic: bool) -> Figure:
    centres = np.sqrt(means.first * means.last) if logarithmic else (means.first + means.last) / 2
    said = [
        f"{mean:.3f} nats, {count} tokens, {axis} {first}–{last}"
        for mean, count, first, last in zip(means.mean, means.count, means.first, means.last, strict=True)
    ]
    trace = _trace(centres, means.mean, 0, mode="lines+markers", text=said, hovertemplate="%{text}<extra></extra>")
    kind = "log" if logarithmic else "linear"
    return _figure(title, [trace], {"title": axis, "type": kind}, {"title": "nats per token", "rangemode": "tozero"})


def gate_figures(found: Inspection) -> list[Figure]:
    """Saturation of every gate, and the time scales of the one that keeps the state; none for a cell without gates."""
    figures = []
    if found.gates:
        traces = [
            _trace(use.left[layer], use.right[layer], number, mode="markers", **_named(use, layer, "gate of unit"))
            for number, (use, layer) in enumerate((use, layer) for use in found.gates for layer in range(len(use.mean)))
        ]
        ends = {"range": [-0.03, 1.03]}
        x = {"title": "share of tokens below 0.1 (left-saturated)", **ends}
        figures.append(_figure("gate saturation", traces, x, {"title": "share of tokens above 0.9", **ends}))
    for use in found.gates:
        if use.gate == found.keeping_gate:
            figures.append(_time_scales(use))
    return figures


def _time_scales(use: GateUse) -> Figure:
    traces = []
    for layer, mean in enumerate(use.mean):
        scales, units = time_scales(mean).clamp(max=LONGEST_SCALE).sort(descending=True)
        named = _named(use, layer, "unit")
        said = [f"{named['name']}, unit {unit}" for unit in units.tolist()]
        traces.append(_trace(np.arange(1, len(units) + 1), scales, layer, mode="markers", **{**named, "text": said}))
    title = f"time scales: 1 / (1 − mean {use.gate} gate)"
    return _figure(title, traces, {"title": "units, sorted"}, {"title": "tokens", "type": "log"})


def _named(use: GateUse, layer: int, what: str) -> dict[str, Any]:
    name = f"{use.gate} gate" + (f", layer {layer + 1}" if len(use.mean) > 1 else "")
    said = [f"{what} {unit}" for unit in range(len(use.mean[layer]))]
    hover = "%{text}: %{x:.3g}, %{y:.3g}<extra></extra>"
    return {"name": name, "text": said, "hovertemplate": hover}


def gradient_figures(found: Inspection) -> list[Figure]:
    """The mean norm of the gradient by distance."""
    if found.gradient is None:
        return []
    distances = np.arange(1, len(found.gradient) + 1)
    hover = "distance %{x}: %{y:.3g}<extra></extra>"
    trace = _trace(distances, found.gradient, 0, mode="lines+markers", hovertemplate=hover)
    y = {"title": "mean norm of the gradient", "type": "log", "exponentformat": "e"}
    return [_figure("gradient norm through time", [trace], {"title": "tokens before the target"}, y)]


def _trace(x: Any, y: Any, number: int, **more: Any) -> Figure:
    place = number % len(COLOURS)
    points = {"x": _rounded(x), "y": _rounded(y)}
    return {"type": "scatter", **points, "marker": {"size": 5, "color": COLOURS[place]}, **more}


def _figure(title: str, traces: list[Figure], x: dict[str, Any], y: dict[str, Any]) -> Figure:
    layout = {
        "xaxis": {**x, "title": {"text": x["title"]}, "automargin": True},
        "yaxis": {**y, "title": {"text": y["title"]}, "automargin": True},
        "height": 380,
        "hovermode": "closest",
        "showlegend": len(traces) > 1,
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
        "margin": {"t": 20, "r": 20},
    }
    return {"title": title, "data": traces, "layout": layout}


def _rounded(values: Any) -> list[float | None]:
    """Numbers with six digits; None for those that JSON lacks."""
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in np.asarray(values, float).tolist()]
