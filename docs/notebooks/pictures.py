"""Line charts and bar charts as small SVG files: for the notebooks beside this file, and for the README.

python docs/notebooks/pictures.py 'outputs/sweeps/NAME/*/' > curves.svg   # validation loss of some runs
"""

import sys
from collections.abc import Mapping, Sequence
from glob import glob
from html import escape
from itertools import cycle
from math import ceil, floor, log10
from pathlib import Path

COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2")
WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 34, 34, 48
STYLE = "font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;font-size:12px"


class Svg(str):
    """The text of an SVG picture, shown as such in a notebook."""

    def __repr__(self) -> str:
        return "<a picture>"

    def _repr_svg_(self) -> str:
        return str(self)


Points = tuple[Sequence[float], Sequence[float]]


def line_chart(lines: Mapping[str, Points], x: str, y: str, levels: Mapping[str, float] | None = None) -> Svg:
    """Lines by name, each (xs, ys), below a legend; ``levels`` are dashed horizontal lines with their names."""
    levels = levels or {}
    xs = [value for line in lines.values() for value in line[0]]
    ys = [*(value for line in lines.values() for value in line[1]), *levels.values()]
    across, up = _Axis(min(xs), max(xs), LEFT, WIDTH - RIGHT), _Axis(min(ys), max(ys), HEIGHT - BOTTOM, TOP)
    parts = [_frame(across, up, x, y)]
    for name, level in levels.items():
        height = up.place(level)
        parts.append(
            f'<path d="M{LEFT} {height:.1f}H{WIDTH - RIGHT}" stroke="#777" stroke-dasharray="5 4" fill="none"/>'
        )
        parts.append(_text(WIDTH - RIGHT, height - 5, f"{name}: {level:.3f}", "end"))
    for (name, (places, values)), colour in zip(lines.items(), cycle(COLOURS)):
        points = " ".join(f"{across.place(a):.1f},{up.place(b):.1f}" for a, b in zip(places, values, strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"><title>')
        parts.append(f"{escape(name)}</title></polyline>")
    return _picture([*parts, *_legend(list(lines))])


def bar_chart(bars: Mapping[str, float], x: str) -> Svg:
    """Horizontal bars by name, from zero on, with their values."""
    longest, height = max(bars.values()), 26
    parts = []
    for number, (name, value) in enumerate(bars.items()):
        top = TOP + number * height
        length = (WIDTH - 300) * value / longest
        parts.append(_text(170, top + 15, name, "end"))
        parts.append(f'<rect x="180" y="{top}" width="{length:.1f}" height="{height - 7}" fill="{COLOURS[0]}"/>')
        parts.append(_text(186 + length, top + 15, _number(value)))
    parts.append(_text(180, TOP - 12, x))
    return _picture(parts, TOP + len(bars) * height + 10)


class _Axis:
    """Places of values between two ends of a picture, and round values to mark."""

    def __init__(self, low: float, high: float, first: float, last: float):
        span = (high - low) or 1.0
        step = 10 ** floor(log10(span / 4))
        step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= 6)
        self.low, self.high = floor(low / step) * step, ceil(high / step) * step
        self.first, self.last = first, last
        marks = round((self.high - self.low) / step)
        self.marks = [round(self.low + number * step, 10) for number in range(marks + 1)]

    def place(self, value: float) -> float:
        return self.first + (value - self.low) / (self.high - self.low) * (self.last - self.first)


def _frame(across: _Axis, up: _Axis, x: str, y: str) -> str:
    parts = []
    for mark in up.marks:
        height = up.place(mark)
        parts.append(f'<path d="M{LEFT} {height:.1f}H{WIDTH - RIGHT}" stroke="#e3e3e3" fill="none"/>')
        parts.append(_text(LEFT - 8, height + 4, f"{mark:g}", "end"))
    parts += [_text(across.place(mark), HEIGHT - BOTTOM + 18, _number(mark), "middle") for mark in across.marks]
    parts.append(f'<path d="M{LEFT} {HEIGHT - BOTTOM}H{WIDTH - RIGHT}" stroke="#777" fill="none"/>')
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, x, "middle"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<g transform="rotate(-90 16 {middle})">{_text(16, middle, y, "middle")}</g>')
    return "".join(parts)


def _legend(names: list[str]) -> list[str]:
    parts, left = [], float(LEFT)
    for name, colour in zip(names, cycle(COLOURS)):
        parts.append(f'<path d="M{left:.1f} 16h18" stroke="{colour}" stroke-width="3"/>{_text(left + 24, 20, name)}')
        left += 46 + 6.6 * len(name)
    return parts


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4g}"


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#333">{escape(text)}</text>'


def _picture(parts: Sequence[str], height: float = HEIGHT) -> Svg:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" style="{STYLE}">'
    return Svg(f'{head}<rect width="{WIDTH}" height="{height}" fill="#fff"/>{"".join(parts)}</svg>\n')


def read_curve(directory: str | Path, tag: str = "val/loss", cost: float | None = None) -> Points:
    """A curve of a run as TensorBoard shows it, against optimizer steps.

    With a cost of each target, in steps of the recurrence, the curve is drawn against the steps of the recurrence.
    """
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(directory))
    events.Reload()
    points = events.Scalars(tag)
    if tag.startswith("val/"):
        points = points[:-1]  # the last one is the best checkpoint, evaluated again
    steps, values = [point.step for point in points], [point.value for point in points]
    if cost is None:
        return steps, values
    targets = events.Scalars("train/targets")
    return [cost * targets[-1].value * step / targets[-1].step for step in steps], values


if __name__ == "__main__":
    found = {Path(name).name: read_curve(name) for name in sorted(glob(sys.argv[1]))}
    print(line_chart(found, "optimizer steps", "validation loss, nats per character"), end="")
