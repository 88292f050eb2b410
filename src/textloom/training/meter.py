"""Loss and throughput of the training since the last look, without a device sync at every step."""

import time
from dataclasses import dataclass

import torch

from textloom.errors import TrainingError


@dataclass(frozen=True)
class Reading:
    """What happened between two looks."""

    loss: float
    """Mean nats per target."""
    targets_per_second: float
    """Targets trained on, per second of training."""


class Meter:
    """Collects losses on the device and counts targets; the clock runs only while there is training."""

    def __init__(self) -> None:
        self.total_targets = 0
        self.total_seconds = 0.0
        self.last: Reading | None = None
        self._steps: list[tuple[int, torch.Tensor, int]] = []  # step, loss, targets
        self._started: float | None = None

    def start(self) -> None:
        """Training goes on."""
        self._started = time.perf_counter()

    def stop(self) -> Reading | None:
        """Training pauses, for a validation for example."""
        reading = self.read()
        self._started = None
        return reading

    def add(self, step: int, loss: torch.Tensor, targets: int) -> None:
        """One batch: its mean loss, still on the device."""
        self._steps.append((step, loss, targets))

    def read(self) -> Reading | None:
        """The means since the last look; the last ones where nothing was added since.

        Raises TrainingError at the first loss that is no finite number.
        """
        if not self._steps:
            return self.last
        losses = torch.stack([loss for _, loss, _ in self._steps]).tolist()  # waits for the device
        now = time.perf_counter()
        seconds = now - self._started if self._started is not None else 0.0
        self._started = now
        for (step, _, _), loss in zip(self._steps, losses, strict=True):
            if not abs(loss) < float("inf"):
                raise TrainingError(
                    f"the training loss is {loss} at step {step}; lower optimizer.learning_rate, or set "
                    "trainer.gradient_clip_val=1.0. The checkpoints written before it are good"
                )
        targets = sum(count for _, _, count in self._steps)
        nats = sum(loss * count for loss, (_, _, count) in zip(losses, self._steps, strict=True))
        self._steps.clear()
        self.total_targets += targets
        self.total_seconds += seconds
        self.last = Reading(nats / targets, targets / seconds if seconds else 0.0)
        return self.last
