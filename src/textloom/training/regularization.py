"""Activation regularization (AR) and temporal activation regularization (TAR).

Merity, McCann and Socher (2017), "Revisiting activation regularization for language RNNs", arXiv 1708.01009, with means
over all elements, as in the authors' program awd-lstm-lm.
"""

from dataclasses import dataclass

import torch

from textloom.batching.batch import Batch


@dataclass(frozen=True)
class ActivationPenalty:
    """Penalties on large and on quickly changing outputs of the last layer, which are added to the loss."""

    activation: float = 0.0
    """Weight of the mean square of the outputs (alpha)."""
    temporal: float = 0.0
    """Weight of the mean squared change from one time step to the next (beta)."""

    def __bool__(self) -> bool:
        """True if there is a penalty."""
        return bool(self.activation or self.temporal)

    def of(self, batch: Batch, hidden: torch.Tensor, dropped: torch.Tensor) -> torch.Tensor:
        """The penalty of a batch.

        ``hidden`` (batch, time, units) are the outputs of the last layer, and ``dropped`` (targets, units) those that
        have a target, after dropout.
        """
        penalty = torch.zeros((), device=hidden.device)
        if self.activation:
            penalty = penalty + self.activation * dropped.float().square().mean()
        if self.temporal:
            penalty = penalty + self.temporal * mean_squared_change(batch, hidden)
        return penalty


def mean_squared_change(batch: Batch, hidden: torch.Tensor) -> torch.Tensor:
    """Mean of (h[t+1] - h[t])^2 over all elements of hidden states, (batch, time, units), without those of padding."""
    changes = (hidden[:, 1:] - hidden[:, :-1]).float().square()  # (batch, time - 1, units)
    if batch.positions is None:
        return changes.sum() / max(1, changes.numel())
    flags = torch.zeros(batch.inputs.numel(), dtype=torch.long, device=hidden.device)
    flags[batch.positions] = 1
    tokens = flags.view_as(batch.inputs).flip(1).cumsum(1).flip(1) > 0  # (batch, time) up to the last target of a row
    counted = tokens[:, 1:, None]
    return (changes * counted).sum() / (counted.sum() * hidden.shape[2]).clamp(min=1)
