"""What a batch is, and the promise that the three kinds of batching keep."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch

if TYPE_CHECKING:
    from textloom.batching.gathering import Tokens
    from textloom.data.encoding import TokenSplit

PAD = 0  # any valid id: padding stands to the right of all that is scored, so it never reaches a loss
ALL_ROWS = slice(None)


class Batch(NamedTuple):
    """Tokens to read and tokens to predict. Of the hidden states only those with a target meet the softmax."""

    inputs: torch.Tensor
    """(batch, time) int64, padded on the right."""
    targets: torch.Tensor
    """(targets,) int64, the tokens to predict."""
    positions: torch.Tensor | None
    """(targets,) int64, where in the flattened (batch * time) hidden states each is predicted; None: everywhere."""
    starts: bool
    """Whether the rows start from the zero state; else they go on from the state that the batch before left."""
    targets_of_all_ranks: int
    """Where several processes train, the targets of the whole batch, of which this is a share; else those here."""

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        if self.inputs.device == device:
            return self
        positions = self.positions.to(device) if self.positions is not None else None
        return self._replace(inputs=self.inputs.to(device), targets=self.targets.to(device), positions=positions)


class Batching(Protocol):
    """All batches of one part of the corpus, in an order that follows from the seed and the epoch alone.

    With a ``share`` they hold some of the rows only: there are as many batches for each share, some perhaps empty.
    """

    split: "TokenSplit"
    tokens: "Tokens"
    """Where they lie: a data module moves them to the device that trains."""

    def __len__(self) -> int:
        """Batches in an epoch."""

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from the given one on."""
