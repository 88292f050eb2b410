"""Tuning the settings of an adaptation: a search along one setting at a time, for the lowest loss."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import exp, log
from typing import Any

from textloom.evaluation.adaptation import Adaptation
from textloom.system.progress import advance, stage

logger = logging.getLogger(__name__)

MOST_TRIALS = 48
SMALLEST_GAIN = 1e-5  # in nats: a setting that hardly matters any more would use up the trials of the others
STEPS = (log(3.0), log(3.0) / 2, log(3.0) / 4)  # of the logarithm, or of the logit of a weight, one after the other


@dataclass(frozen=True)
class Setting:
    """A number that is tuned."""

    part: str
    """Attribute of the adaptation; the number itself if it has no settings."""
    name: str | None = None
    is_share: bool = False
    """True for a number between 0 and 1."""

    def value(self, adaptation: Adaptation) -> float:
        """Its value."""
        part = getattr(adaptation, self.part)
        return float(part if self.name is None else getattr(part, self.name))

    def moved(self, adaptation: Adaptation, step: float) -> Adaptation:
        """The adaptation with the value moved by a step, so that it keeps its sign and its bounds."""
        old = self.value(adaptation)
        if self.is_share:
            old = min(max(old, 1e-4), 1 - 1e-4)
            new = 1 / (1 + (1 - old) / old * exp(-step))
        else:
            new = max(old, 1e-9) * exp(step)
        new = float(f"{new:.4g}")  # as signatures show it
        part = getattr(adaptation, self.part)
        changed: dict[str, Any] = {self.part: new if self.name is None else replace(part, **{self.name: new})}
        return replace(adaptation, **changed)


SETTINGS = (
    Setting("dynamic", "learning_rate"),
    Setting("dynamic", "decay"),
    Setting("cache", "weight", is_share=True),
    Setting("cache", "sharpness"),
    Setting("mix", "weight", is_share=True),
    Setting("temperature"),
)


def tune(adaptation: Adaptation, loss: Callable[[Adaptation], float]) -> Adaptation:
    """Search the settings of the methods that are switched on for the lowest loss, and return the best adaptation.

    Each setting in turn is moved while that lowers the loss by ``SMALLEST_GAIN``; when none can be moved any more, the
    steps are halved.
    """
    search = _Search(loss)
    best = adaptation
    with stage("tuning", MOST_TRIALS, "trials"):
        search.loss(best)
        for step in STEPS:
            while (better := _once_around(best, step, search)) != best:
                best = better
    logger.info(
        "tuned in %d trials: validation loss %.4f, was %.4f", len(search.known), search.loss(best), search.first
    )
    return best


def _once_around(best: Adaptation, step: float, search: "_Search") -> Adaptation:
    for setting in SETTINGS:
        if getattr(best, setting.part) is None:
            continue
        for direction in (step, -step):
            start = best
            while search.loss(moved := setting.moved(best, direction)) < search.loss(best) - SMALLEST_GAIN:
                best = moved
            if best != start:
                break
    return best


class _Search:
    """The losses computed so far; at most a fixed number is computed."""

    def __init__(self, loss: Callable[[Adaptation], float]):
        self._loss = loss
        self.known: dict[str, float] = {}
        self.first = float("nan")

    def loss(self, adaptation: Adaptation) -> float:
        """The loss; infinity once there were too many trials, or if it is not a number."""
        key = str(sorted(adaptation.settings().items()))
        if key not in self.known:
            if len(self.known) == MOST_TRIALS:
                return float("inf")
            found = self._loss(adaptation)
            self.known[key] = found if found == found else float("inf")
            logger.info("%s: %.4f", adaptation, found)
            advance()
        if len(self.known) == 1:
            self.first = self.known[key]
        return self.known[key]
