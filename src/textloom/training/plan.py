"""The inputs of a fit, and its result."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytorch_lightning as pl
import torch

from textloom.config import TrainConfig
from textloom.runs.run import Run
from textloom.system.ranks import ALONE, Ranks
from textloom.training.callbacks.efficiency import Efficiency
from textloom.training.callbacks.samples import Sampler
from textloom.training.preparation import EncodedText
from textloom.training.signals import StopRequest
from textloom.training.tensorboard import RunLogger


@dataclass(frozen=True)
class Compute:
    """The device of this process, the number format, and the processes that train together."""

    device: torch.device
    precision: str
    ranks: Ranks = ALONE


@dataclass(frozen=True)
class FitPlan:
    """Everything that a fit needs."""

    config: TrainConfig
    """Complete: numbers for all keys that may be left open."""
    run: Run
    text: EncodedText
    compute: Compute
    request: StopRequest
    sampler: Sampler | None = None
    """The writer of samples; None except on the first rank."""
    callbacks: Sequence[pl.Callback] = ()
    """Further callbacks of the first rank; they are called after the run's own, once a validation is saved."""


@dataclass(frozen=True)
class FitResult:
    """Result of a fit; the weights lie in the run's checkpoints."""

    logger: RunLogger | None
    """Still open, to write the figures of the best checkpoint; None except on the first rank."""
    steps: int
    last_step: int
    """The step of the last point of each curve."""
    parameters: int
    targets_per_second: float
    efficiency: Efficiency | None = None
    """None for n-grams, which are counted."""
    order: int | None = None
    """The order of an n-gram model; None for networks."""
    limit: str | None = None
    """The key whose value ended the training, such as ``trainer.max_epochs``; None if it ended by itself."""
    validation_losses: tuple[tuple[int, float], ...] = ()
    """(step, loss) of the validations in this process, in their order."""
