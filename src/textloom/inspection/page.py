"""An inspection as a self-contained HTML page: no network access, all texts escaped."""

import base64
import gzip
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
import torch
from jinja2 import ChoiceLoader, Environment, PackageLoader

from textloom.inspection.figures import gate_figures, gradient_figures, position_figures
from textloom.inspection.measure import Inspection
from textloom.reports.html import drawn, packed_plotly, safe_json
from textloom.system.streams import visible
from textloom.tokenizers import Tokenizer

GENERATOR = "textloom inspect"
"""Named in the head of every page."""
MOST_SHOWN = 6_000_000
"""Tokens times units in a page, a byte each before compression."""
UNITS_IN_TABLE = 5
NOTHING_WRITTEN = "·"
LINE_END, SPACE = "↵", "␣"


@dataclass(frozen=True)
class Subject:
    """Facts about the model, shown at the top of the page."""

    run: str
    """The run directory."""
    facts: tuple[str, ...]
    """Cell, units and so on."""
    no_gates: str
    """The sentence that is shown for a cell without gates."""


def render_page(found: Inspection, tokenizer: Tokenizer, subject: Subject) -> str:
    """Render the page, with one compressed copy of Plotly."""
    packages = [PackageLoader("textloom.inspection", "."), PackageLoader("textloom.reports", ".")]
    environment = Environment(loader=ChoiceLoader(packages), autoescape=True)
    environment.filters["visible"] = visible
    shown = _units_shown(found)
    places = {unit: place for place, unit in enumerate(shown)}
    return environment.get_template("page.html.j2").render(
        generator=GENERATOR,
        subject=subject,
        found=found,
        tokens=len(found.text),
        uniform=log(tokenizer.vocabulary_size),
        tracked=[one for one in found.tracked if one.units],
        units_in_table=UNITS_IN_TABLE,
        places=places,
        not_shown=len(found.unit_names) - len(shown),
        neighbours=_neighbour_rows(found, tokenizer),
        positions=[drawn(figure) for figure in position_figures(found)],
        gates=[drawn(figure) for figure in gate_figures(found)],
        gradients=[drawn(figure) for figure in gradient_figures(found)],
        reach=_reach(found),
        data=safe_json(_data(found, tokenizer, shown)),
        activations=_packed_activations(found, shown),
        plotly=packed_plotly(),
    )


def _units_shown(found: Inspection) -> list[int]:
    """The units in the page: all of them, or those that track a feature best and then those that vary most."""
    most = MOST_SHOWN // len(found.text)
    if found.activations is None or len(found.unit_names) <= most:
        return list(range(len(found.unit_names)))
    first = [unit for one in found.tracked for unit, _ in one.units]
    others = found.activations.var(dim=0).argsort(descending=True).tolist()
    return sorted(list(dict.fromkeys([*first, *others]))[:most])


def _data(found: Inspection, tokenizer: Tokenizer, shown: list[int]) -> dict[str, Any]:
    """The data for the scripts of the page."""
    predicted = found.text.tokens[1:].tolist()
    likeliest, places = np.unique(found.likeliest, return_inverse=True)
    means, scales = _ranges(found, shown)
    return {
        "tokens": [
            shown_piece(tokenizer, token, piece) for token, piece in zip(predicted, found.text.pieces, strict=True)
        ],
        "nats": [round(value, 3) for value in np.minimum(found.nats, 1e6).tolist()],
        "uniform": log(tokenizer.vocabulary_size),
        "likeliest": [in_line(tokenizer.token_text(token)) for token in likeliest.tolist()],
        "guesses": places.tolist(),
        "units": [found.unit_names[unit] for unit in shown],
        "means": [float(f"{mean:.4g}") for mean in means.tolist()],
        "scales": [float(f"{scale:.4g}") for scale in scales.tolist()],
    }


def _ranges(found: Inspection, shown: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean of each unit, drawn white, and the largest distance from it, drawn in full colour; (units,) each."""
    if found.activations is None:
        return torch.zeros(0), torch.zeros(0)
    values = found.activations[:, shown]
    means = values.mean(dim=0)
    return means, (values - means).abs().amax(dim=0).clamp(min=1e-9)


def _packed_activations(found: Inspection, shown: list[int]) -> str:
    """One signed byte for each unit and token, unit by unit, compressed and in base64."""
    if found.activations is None:
        return ""
    means, scales = _ranges(found, shown)
    scaled = (found.activations[:, shown] - means) / scales * 127  # (tokens, units)
    content = scaled.round().to(torch.int8).T.contiguous().numpy().tobytes()
    return base64.b64encode(gzip.compress(content, 6, mtime=0)).decode()


def _neighbour_rows(found: Inspection, tokenizer: Tokenizer) -> list[tuple[str, list[tuple[str, float]]]] | None:
    if found.neighbours is None:
        return None
    return [
        (
            in_line(tokenizer.token_text(one.token)),
            [(in_line(tokenizer.token_text(near)), c) for near, c in one.nearest],
        )
        for one in found.neighbours
    ]


def _reach(found: Inspection) -> str:
    """A sentence on the distance at which the gradient becomes small."""
    if found.gradient is None or not found.gradient[0] > 0:
        return ""
    small = np.flatnonzero(found.gradient < found.gradient[0] / 100)
    if not len(small):
        return f"At distance {len(found.gradient)} it is still above 1 % of that at distance 1."
    return f"From distance {small[0] + 1} on it is below 1 % of that at distance 1."


def shown_piece(tokenizer: Tokenizer, token: int, piece: str) -> str:
    """A token in the text, with signs for line ends and for tokens without characters."""
    if not piece:
        return f"{tokenizer.token_text(token)}\n" if token == tokenizer.end_id else NOTHING_WRITTEN
    return visible(piece).replace("\n", f"{LINE_END}\n")


def in_line(text: str) -> str:
    """A token within a line, with signs for invisible characters."""
    return visible(text).replace("\n", LINE_END).replace(" ", SPACE).replace("\t", "⇥") or NOTHING_WRITTEN
