"""``trainer.batch_size=auto``: measure real training steps on a copy of the model, which is then discarded.

The measurement leaves no trace: the training seeds its random numbers afterwards and builds a model of its own.
"""

import gc
import itertools
import time
from dataclasses import dataclass

import torch

from textloom.batching.batch import Batch
from textloom.batching.batches import training_batches
from textloom.batching.batching import Batching
from textloom.config import TrainConfig
from textloom.data.encoding import TokenSplit
from textloom.errors import DataError
from textloom.system.cpu import memory_kept
from textloom.system.devices import is_out_of_memory
from textloom.system.progress import stage
from textloom.system.ranks import Ranks
from textloom.training.trial_step import TrialStep

SMALLEST, LARGEST = 8, 1 << 16
FEWEST_STEPS = 10  # of an epoch: a batch size that leaves fewer is not tried
FIRST_BATCHES = 4  # the largest of these is measured
TRIES = 3
SECONDS = 3.0  # after that no larger size is tried
NEARLY_AS_FAST = 0.95  # of the fastest; among those the smallest batch learns most from each target
MEMORY_TO_USE = 0.8  # of a GPU; validation, fragmentation and the buckets of several devices need the rest


@dataclass(frozen=True)
class StepCost:
    """Speed and memory of a training step."""

    targets_per_second: float
    memory: float
    """Share of the GPU's memory; 0 on a CPU."""


@dataclass(frozen=True)
class StepTimer:
    """Trains a step on batches of any size."""

    config: TrainConfig
    split: TokenSplit
    vocabulary_size: int
    device: torch.device
    precision: str
    ranks: int

    def batching(self, size: int) -> Batching:
        """The batches of that size. Raises DataError if the text is too short for them."""
        config = self.config
        batching = training_batches(config.batching, self.split, size, config.seed, Ranks(size=self.ranks))
        if size > SMALLEST and len(batching) < FEWEST_STEPS * config.trainer.accumulate_grad_batches:
            raise DataError("too few steps an epoch")
        return batching

    def __call__(self, size: int) -> StepCost | None:
        """The fastest of some steps; None if they do not fit into memory."""
        firsts = itertools.islice(self.batching(size).batches(epoch=0), FIRST_BATCHES)
        batch = max(firsts, key=lambda one: one.inputs.numel()).to(self.device)
        try:
            seconds, memory = self._train(batch)
        except (MemoryError, RuntimeError) as error:
            if size == SMALLEST or not is_out_of_memory(error):
                raise
            return None
        finally:
            gc.collect()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        return StepCost(len(batch.targets) / seconds, memory)

    @memory_kept()
    def _train(self, batch: Batch) -> tuple[float, float]:
        step = TrialStep(self.config, self.vocabulary_size, self.device, self.precision)
        seconds = float("inf")
        for _ in range(1 + TRIES):  # the first is a warm-up
            began = time.perf_counter()
            step(batch)
            seconds = min(seconds, time.perf_counter() - began)
        if self.device.type != "cuda":
            return seconds, 0.0
        taken = torch.cuda.max_memory_allocated(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        return seconds, taken / torch.cuda.get_device_properties(self.device).total_memory


def choose_batch_size(timer: StepTimer) -> tuple[int, str]:
    """The best power of two, and the reason.

    On a GPU the largest that leaves some memory free, elsewhere the smallest that is nearly as fast as the fastest.
    """
    tried, end = _try_sizes(timer)
    if timer.device.type == "cuda":
        size = max(tried)
        return size, f"the largest that fits ({end}), {tried[size].memory:.0%} of the GPU's memory"
    rates = {size: one.targets_per_second for size, one in tried.items()}
    size = min(size for size, rate in rates.items() if rate >= NEARLY_AS_FAST * max(rates.values()))
    shown = ", ".join(f"{size}: {rate:,.0f}" for size, rate in rates.items())
    return size, f"the smallest of the fastest on this {timer.device.type} (targets/s of {shown}; {end})"


def _try_sizes(timer: StepTimer) -> tuple[dict[int, StepCost], str]:
    """The step costs of the sizes that were tried, each twice the one before, and the reason to stop there."""
    tried: dict[int, StepCost] = {}
    began, size = time.perf_counter(), SMALLEST
    while size <= LARGEST:
        try:
            with stage(f"trying batches of {size}"):
                one = timer(size)
        except DataError:
            if size == SMALLEST:
                raise
            return tried, f"with {size} an epoch would have fewer than {FEWEST_STEPS} steps"
        if one is None or (one.memory > MEMORY_TO_USE and tried):
            return tried, f"{size} do not fit into the memory"
        tried[size] = one
        if timer.device.type != "cuda" and _no_longer_faster([one.targets_per_second for one in tried.values()]):
            return tried, "larger ones are no faster"
        if time.perf_counter() - began > SECONDS and timer.device.type != "cuda":
            return tried, f"{SECONDS:.0f} seconds of trials"
        size *= 2
    return tried, "none larger is tried"


def _no_longer_faster(rates: list[float]) -> bool:
    """True if neither of the last two doublings gained a twentieth."""
    return len(rates) > 2 and NEARLY_AS_FAST * max(rates[-2:]) < max(rates[:-2])
