"""The learning rate of an optimizer step whose batch is longer or shorter than others."""

from typing import Any

from torch.optim import Optimizer

from textloom.batching.batch import Batch


class StepLength:
    """Multiplies the learning rate of single steps by the relative length of their batches.

    Otherwise a short batch would move the weights as far as a long one, and each of its tokens would count for more:
    Merity et al. (2018), arXiv 1708.02182, section 4.1. If several batches make one step, their mean length counts.
    """

    def __init__(self) -> None:
        self.lengths: list[float] = []  # of the batches since the last step
        self.rates: list[float] | None = None  # learning rates to restore after the step

    def add(self, batch: Batch) -> None:
        """Note the length of a batch whose gradient is a part of the next step."""
        self.lengths.append(batch.relative_length)

    def scale(self, optimizer: Optimizer) -> None:
        """Scale the learning rates for the step that follows."""
        self.restore(optimizer)  # a step in float16 may have been skipped
        lengths, self.lengths = self.lengths, []
        if any(length != 1 for length in lengths):
            self.rates = [group["lr"] for group in optimizer.param_groups]
            for group in optimizer.param_groups:
                group["lr"] *= sum(lengths) / len(lengths)

    def restore(self, optimizer: Optimizer, *_: Any) -> None:
        """Restore the learning rates, to the last bit; as a hook after the step of an optimizer."""
        if self.rates is not None:
            for group, rate in zip(optimizer.param_groups, self.rates, strict=True):
                group["lr"] = rate
            self.rates = None
