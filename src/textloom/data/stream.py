"""Many-to-many over all documents end to end: truncated backpropagation through time with carried state.

The method is that of Williams and Peng (1990), "An efficient gradient-based algorithm for on-line training of recurrent
network trajectories", with equal forward and backward lengths.
"""

from collections.abc import Iterator

import numpy as np
import torch

from textloom.data.batches import ALL_ROWS, PAD, Batch
from textloom.data.encoding import TokenSplit


class Stream:
    """The text in ``rows`` equal pieces side by side, ``steps`` tokens a batch; each token is a target once."""

    def __init__(self, split: TokenSplit, rows: int, steps: int, share: slice = ALL_ROWS):
        self.split = split
        self.steps = steps
        self.share = share
        self.row_starts = np.arange(rows) * split.targets // rows
        self.row_lengths = np.diff(np.append(self.row_starts, split.targets))  # differ by one token at most

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-int(self.row_lengths.max()) // self.steps)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from the given one on. The text has one order: every epoch is the same."""
        for index in range(start, len(self)):
            yield self._batch(index)

    def _batch(self, index: int) -> Batch:
        first = index * self.steps
        all_lengths = np.clip(self.row_lengths - first, 0, self.steps)
        lengths = all_lengths[self.share]  # (rows,)
        time = np.arange(lengths.max(initial=0))
        source = (self.row_starts[self.share] + first)[:, None] + time  # (rows, time)
        tokens, starts, targets = self.split.tokens, index == 0, int(all_lengths.sum())
        if (lengths == len(time)).all():
            return Batch(_int64(tokens[source]), _int64(tokens[source + 1]).flatten(), None, starts, targets)
        filled = time < lengths[:, None]
        source = np.where(filled, source, 0)
        return Batch(
            torch.from_numpy(np.where(filled, tokens[source], PAD).astype(np.int64)),
            _int64(tokens[source[filled] + 1]),
            torch.from_numpy(np.flatnonzero(filled)),
            starts,
            targets,
        )


def _int64(tokens: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(tokens.astype(np.int64))
