"""A row of the table, and how two things are timed side by side."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One thing measured: what we reach, what the other reaches, and how they compare."""

    work: str
    against: str
    ours: float | None
    """None: not measured here; ``note`` says why."""
    theirs: float | None
    unit: str
    """Of ``ours`` and ``theirs``."""
    ratio: float | None
    """How many times better we are, or another figure that must reach ``must``."""
    must: float | None
    """What the ratio is to reach; None: shown for comparison."""
    at_most: bool = False
    """Whether the ratio must stay below ``must`` instead."""
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """None where there is nothing to reach, or nothing was measured."""
        if self.ratio is None or self.must is None:
            return None
        return self.ratio <= self.must if self.at_most else self.ratio >= self.must


def unmeasured(work: str, against: str, must: float, why: str) -> Row:
    """A row that this machine cannot fill."""
    return Row(work, against, None, None, "", None, must, note=why)


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@dataclass(frozen=True)
class Compared:
    """Two things timed in turns."""

    ours: float
    """Median seconds."""
    theirs: float
    """Median seconds."""
    speedup: float
    """Median over the turns of theirs / ours: what slows a whole turn slows both."""


def compared(ours: list[float], theirs: list[float]) -> Compared:
    """The medians of two lists of seconds, turn by turn."""
    pairs = zip(theirs, ours, strict=True)
    return Compared(statistics.median(ours), statistics.median(theirs), statistics.median(b / a for b, a in pairs))


def in_turns(ours: Callable[[], object], theirs: Callable[[], object], turns: int = 7) -> Compared:
    """Time both, one after the other, ``turns`` times; a first turn to warm up is not counted."""
    timed = [(seconds(ours), seconds(theirs)) for _ in range(turns + 1)][1:]
    return compared(*map(list, zip(*timed, strict=True)))
