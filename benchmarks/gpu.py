"""The rows of a GPU alone, the most telling first: what ``python -m benchmarks --accelerator=gpu`` measures.

A GPU is rented by the minute: a row is begun only if it is expected to end within ``SECONDS``, and the rows that are
left out keep the figures that were measured before.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch

from benchmarks import generation, sweeps, training
from benchmarks.rows import Row

SECONDS = 290.0
FIRST = ("LSTM 512, word", "LSTM 128, char", "LSTM 1024, word (", "tutorial_char")
"""Beginnings of the labels of the trainings that tell most: a usual size, a small one, a large one, many-to-one."""


@dataclass(frozen=True)
class Measurement:
    """Rows that are measured together."""

    benchmark: str
    """Where they stand in the table."""
    seconds: float
    """How long it is expected to take."""
    measure: Callable[[], Iterable[Row]]


def measurements(quick: bool = False) -> list[Measurement]:
    """All measurements, the most telling first."""

    def trained(work: training.Work) -> Measurement:
        return Measurement("training", 15, lambda: training.rows_on("gpu", work, quick))

    works = sorted(training.works(quick), key=lambda work: _place(work.label))
    told = sum(_place(work.label) < len(FIRST) for work in works)
    return [
        *map(trained, works[:told]),
        Measurement("generation", 30, lambda: generation.rows_on("cuda", quick)),
        Measurement("sweeps", 90, lambda: [sweeps.on_gpu(quick, turns=1)]),
        *map(trained, works[told:]),
    ]


def measured(chosen: Iterable[Measurement], clock: Callable[[], float] = time.monotonic) -> Iterator[tuple[str, Row]]:
    """The rows, each with its benchmark, as long as the next ones are expected to end in time."""
    end = clock() + SECONDS
    for one in chosen:
        if clock() + one.seconds > end:
            print(f"--- the next rows of {one.benchmark} are left out: {SECONDS:.0f} seconds are nearly over")
            continue
        for row in one.measure():
            yield one.benchmark, row


def is_here() -> bool:
    """True if torch can compute on a GPU."""
    return torch.cuda.is_available()


def _place(label: str) -> int:
    return next((place for place, start in enumerate(FIRST) if label.startswith(start)), len(FIRST))
