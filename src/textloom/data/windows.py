"""Many-to-one, as in the tutorials: a window of tokens predicts the one after it.

Every target costs a pass over its whole context, where ``documents`` and ``stream`` spend one step on it.
"""

import itertools
from collections.abc import Iterator

import numpy as np

from textloom.data.batches import ALL_ROWS, Batch
from textloom.data.encoding import TokenSplit
from textloom.data.gathering import HostTokens, Rows, Tokens


class Windows:
    """Windows of up to ``context`` tokens within a document, the next token as target."""

    def __init__(
        self,
        split: TokenSplit,
        batch_size: int,
        context: int,
        stride: int = 1,
        shortest_context: int = 1,
        shuffle_seed: int | None = None,
        share: slice = ALL_ROWS,
    ):
        self.split = split
        self.tokens: Tokens = HostTokens(split.tokens)
        self.batch_size = batch_size
        self.context = context
        self.shuffle_seed = shuffle_seed
        self.share = share
        self.target_positions = (  # (windows,)
            _target_positions(split.boundaries, stride, shortest_context) if split.windows is None else split.windows
        )

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-len(self.target_positions) // self.batch_size)

    @property
    def steps_per_target(self) -> float:
        """Tokens read for each target: the mean length of the contexts."""
        return float(self._lengths(self.target_positions).mean())

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from the given one on."""
        order = self.target_positions
        if self.shuffle_seed is not None:
            order = np.random.default_rng((self.shuffle_seed, epoch)).permutation(order)
        for first in range(start * self.batch_size, len(order), self.batch_size):
            yield self.tokens.batch(self._rows(order[first : first + self.batch_size]))

    def _rows(self, positions: np.ndarray) -> Rows:
        ours = positions[self.share]
        lengths = self._lengths(ours)
        return Rows(ours - lengths, lengths, self.context, True, True, len(positions))

    def _lengths(self, positions: np.ndarray) -> np.ndarray:
        boundaries = self.split.boundaries
        beginnings = boundaries[np.searchsorted(boundaries, positions, side="left") - 1]
        lengths: np.ndarray = np.minimum(positions - beginnings, self.context)
        return lengths


def _target_positions(boundaries: np.ndarray, stride: int, shortest_context: int) -> np.ndarray:
    """Where the targets of all windows stand: every ``stride``-th token of each document, (windows,)."""
    per_document = [
        np.arange(begin + shortest_context, end + 1, stride) for begin, end in itertools.pairwise(boundaries)
    ]
    return np.concatenate(per_document)
