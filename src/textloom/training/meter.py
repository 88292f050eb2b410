"""Loss and throughput of the training since the last reading, without a device synchronization at every step."""

import time
from dataclasses import dataclass, replace
from typing import Any

import torch

from textloom.errors import DivergenceError
from textloom.system.ranks import ALONE, Ranks


@dataclass(frozen=True)
class MeterReading:
    """Means over the steps between two readings."""

    loss: float
    """Mean nats per target."""
    gradient_norm: float
    """Of the last step, before clipping."""
    targets_per_second: float
    """Targets trained on, per second of training."""


@dataclass
class _BatchLoss:
    step: int
    loss: torch.Tensor | float
    targets: int
    gradient_norm: torch.Tensor | float | None = None


class Meter:
    """Collects losses on the device and counts targets; its clock runs only during training.

    If several ranks train, each calls ``read`` and ``state_dict`` at the same step.
    """

    def __init__(self, largest_loss: float, ranks: Ranks = ALONE):
        self.largest_loss = largest_loss
        self.ranks = ranks
        self.total_targets = 0
        self.total_seconds = 0.0
        self.last: MeterReading | None = None
        self._batches: list[_BatchLoss] = []  # since the last reading
        self._seconds = 0.0  # since the last reading
        self._started: float | None = None

    def start(self) -> None:
        """Start the clock, unless it is running."""
        if self._started is None:
            self._started = time.perf_counter()

    def stop(self) -> None:
        """Stop the clock, for example for a validation."""
        if self._started is not None:
            self._seconds += time.perf_counter() - self._started
            self._started = None

    def add(self, step: int, loss: torch.Tensor, targets: int) -> None:
        """Add a batch with its mean loss, which stays on the device."""
        self._batches.append(_BatchLoss(step, loss, targets))

    def add_gradient_norm(self, norm: torch.Tensor) -> None:
        """Add the norm of the gradient that the last batch completed; it stays on the device."""
        self._batches[-1].gradient_norm = norm

    def read(self, learning_rate: float) -> MeterReading | None:
        """The means since the last reading; the last reading again if nothing was added.

        Raises DivergenceError for the first loss that is not finite, or exceeds ``largest_loss``.
        """
        if not self._batches:
            return self.last
        batches = self._of_all_ranks()
        for batch in batches:
            if not abs(float(batch.loss)) <= self.largest_loss:
                norm = None if batch.gradient_norm is None else float(batch.gradient_norm)
                raise DivergenceError(batch.step, float(batch.loss), learning_rate, norm)
        if self._started is not None:
            self.stop()
            self.start()
        targets = sum(batch.targets for batch in batches)
        nats = sum(float(batch.loss) * batch.targets for batch in batches)
        norms = [float(batch.gradient_norm) for batch in batches[-1:] if batch.gradient_norm is not None]
        rate = targets / self._seconds if self._seconds else 0.0
        self.last = MeterReading(nats / targets, norms[0] if norms else 0.0, rate)
        self.total_targets += targets
        self.total_seconds += self._seconds
        self._batches, self._seconds = [], 0.0
        return self.last

    def state_dict(self) -> dict[str, Any]:
        """The totals, and the batches that no reading covers yet, in plain types."""
        pending = [
            (batch.step, float(batch.loss), batch.targets, None if norm is None else float(norm))
            for batch in self._of_all_ranks()
            for norm in [batch.gradient_norm]
        ]
        return {"total_targets": self.total_targets, "total_seconds": self.total_seconds, "pending": pending}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the totals and the pending batches."""
        self.total_targets, self.total_seconds = state["total_targets"], state["total_seconds"]
        counted = int(self.ranks.rank == 0)  # the sum over all ranks is counted by one of them
        self._batches = [
            _BatchLoss(step, loss * counted, targets * counted, norm) for step, loss, targets, norm in state["pending"]
        ]

    def _of_all_ranks(self) -> list[_BatchLoss]:
        """The batches since the last reading, with the losses of all ranks together, on the CPU."""
        losses = _as_floats([batch.loss for batch in self._batches])  # synchronizes with the device
        batches = [replace(batch, loss=loss) for batch, loss in zip(self._batches, losses, strict=True)]
        if self.ranks.size == 1 or not batches:
            return batches
        mine = [(loss * batch.targets, batch.targets) for batch, loss in zip(batches, losses, strict=True)]
        sums = self.ranks.sum(torch.tensor(mine, dtype=torch.float64)).tolist()
        return [
            replace(batch, loss=nats / targets, targets=int(targets))
            for batch, (nats, targets) in zip(batches, sums, strict=True)
        ]


def _as_floats(values: list[torch.Tensor | float]) -> list[float]:
    """Fetch all tensors with one synchronization; values from a checkpoint are numbers already."""
    tensors = [value for value in values if isinstance(value, torch.Tensor)]
    fetched = iter(torch.stack(tensors).tolist() if tensors else [])
    return [next(fetched) if isinstance(value, torch.Tensor) else value for value in values]
