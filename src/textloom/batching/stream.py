"""Many-to-many over all documents end to end: truncated backpropagation through time with carried state.

The method is that of Williams and Peng (1990), "An efficient gradient-based algorithm for on-line training of recurrent
network trajectories", with equal forward and backward lengths.
"""

from collections.abc import Iterator

import numpy as np

from textloom.batching.batch import ALL_ROWS, Batch
from textloom.batching.gathering import HostTokens, Rows, Tokens, gathered
from textloom.data.encoding import TokenSplit


class Stream:
    """The text in ``rows`` equal pieces side by side, ``steps`` tokens a batch; each token is a target once."""

    def __init__(self, split: TokenSplit, rows: int, steps: int, share: slice = ALL_ROWS):
        self.split = split
        self.tokens: Tokens = HostTokens(split.tokens)
        self.steps = steps
        self.share = share
        self.row_starts = np.arange(rows) * split.targets // rows
        self.row_lengths = np.diff(np.append(self.row_starts, split.targets))  # differ by one token at most

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-int(self.row_lengths.max()) // self.steps)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from the given one on. The text has one order: every epoch is the same."""
        return gathered(self.tokens, map(self._rows, range(start, len(self))))

    def _rows(self, index: int) -> Rows:
        first = index * self.steps
        lengths = np.minimum(self.row_lengths - first, self.steps)
        ours = lengths[self.share]
        begins = self.row_starts[self.share] + first
        return Rows(begins, ours, int(ours.max(initial=0)), False, index == 0, int(lengths.sum()))
