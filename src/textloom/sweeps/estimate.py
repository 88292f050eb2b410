"""The cost of each trial before training: parameters, steps, and seconds estimated from a few real steps."""

import time
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import NamedTuple, TypeVar

import torch

from textloom.batching.batch import Batch
from textloom.batching.batches import training_batches
from textloom.config import SweepConfig, TrainConfig
from textloom.data.cache import load_corpus, load_or_encode
from textloom.data.encoding import TokenSplit
from textloom.models.recurrent import RecurrentLanguageModel, parameter_count
from textloom.sweeps.plan import Composer
from textloom.sweeps.space import Point, point_text
from textloom.sweeps.table import clock
from textloom.system.cpu import denormals_flushed, memory_kept
from textloom.system.devices import choose_device
from textloom.training.defaults import OpenConfig, complete_config
from textloom.training.fitting import total_steps
from textloom.training.precision import choose_precision
from textloom.training.trial_step import TrialStep

Value = TypeVar("Value")

WARM_UP_STEPS = 2
TIMED_STEPS = 5
LONGEST_TIMING = 5.0  # seconds; a step that takes longer is timed once
SHAPES = ("data", "tokenizer", "batching", "model", "optimizer")
TRAINER_SHAPES = ("batch_size", "precision", "softmax_samples", "consistency_regularization")
# these are all the keys that decide a step's time


class Cost(NamedTuple):
    """Upper bound of a trial's training, without validations and samples; early stopping and pruning lower it."""

    parameters: int
    steps: int
    seconds: float


def print_estimates(composer: Composer, points: list[Point], adaptive: bool, config: SweepConfig) -> None:
    """Print a table of trials with their costs; of a sampled space, the points at its edges."""
    meter = _CostMeter()
    costs = [meter.cost(composer.config(point)) for point in points]
    rows = [["parameters", "steps", "time", "trial"]]
    for point, cost in zip(points, costs, strict=True):
        rows.append([f"{cost.parameters:,}", f"{cost.steps:,}", clock(cost.seconds), point_text(point)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        numbers = [cell.rjust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        print("  ".join([*numbers, row[-1]]))
    mean = sum(cost.seconds for cost in costs) / len(costs)
    if adaptive:
        print(
            f"\nthe edges of the space from which sweep.n_trials={config.n_trials} trials are chosen; each was checked"
        )
    trials = (config.n_trials if adaptive else None) or len(points)
    print(
        f"\n{trials} trials, about {clock(mean * trials)} of training one after the other on this machine "
        f"({meter.device.type}): estimated from {TIMED_STEPS} real steps of each shape, for all epochs, "
        "without validations"
    )


class _CostMeter:
    """Measures costs: reads each text once, and times each combination of shapes once."""

    def __init__(self) -> None:
        self.device = torch.device("cpu")
        self._texts: dict[str, tuple[int, TokenSplit]] = {}
        self._seconds: dict[str, float] = {}

    def cost(self, config: TrainConfig) -> Cost:
        """The cost of a trial. Raises DataError if the text cannot be used."""
        self.device = choose_device(config.trainer.accelerator)
        vocabulary_size, text = _once(self._texts, repr((config.data, config.tokenizer)), lambda: _read(config))
        if config.model.is_ngram:  # counting takes seconds
            return Cost(0, 1, 0.0)
        ranks = config.trainer.devices * config.trainer.num_nodes
        config, _ = complete_config(OpenConfig(config, text, vocabulary_size, self.device, ranks))
        model, rows = config.model, config.trainer.rows
        assert not model.is_ngram
        batching = training_batches(config.batching, text, rows, config.seed)
        with torch.device("meta"):
            parameters = parameter_count(RecurrentLanguageModel(model, vocabulary_size))
        shape = repr(
            ([getattr(config, name) for name in SHAPES], [getattr(config.trainer, name) for name in TRAINER_SHAPES])
        )
        seconds = _once(self._seconds, shape, lambda: self._time(config, vocabulary_size, batching.batches(0, 0)))
        steps = total_steps(config, batching)
        return Cost(parameters, steps, seconds * steps * config.trainer.accumulate_grad_batches)

    @denormals_flushed()
    @memory_kept()
    def _time(self, config: TrainConfig, vocabulary_size: int, batches: Iterable[Batch]) -> float:
        """Seconds of a training step, gathering its batch included."""
        precision = choose_precision(config, self.device, vocabulary_size)[0]
        step = TrialStep(config, vocabulary_size, self.device, precision)
        marks = [time.perf_counter()]
        for batch in batches:
            step(batch.to(self.device))
            marks.append(time.perf_counter())
            if len(marks) > WARM_UP_STEPS + TIMED_STEPS or marks[-1] - marks[0] > LONGEST_TIMING:
                break
        took = sorted(after - before for before, after in pairwise(marks))
        return took[len(took) // 2]  # the median: the first steps are slower


def _read(config: TrainConfig) -> tuple[int, TokenSplit]:
    tokenizer, splits = load_or_encode(load_corpus(config.data), config.tokenizer)
    return tokenizer.vocabulary_size, splits["train"]


def _once(known: dict[str, Value], key: str, make: Callable[[], Value]) -> Value:
    if key not in known:
        known[key] = make()
    return known[key]
