"""Many-to-one, as in the tutorials: a window of tokens predicts the one after it.

Every target costs a pass over its whole context, where ``documents`` and ``stream`` spend one step on it.
"""

from collections.abc import Iterator

import numpy as np

from textloom.batching.batch import ALL_ROWS, Batch
from textloom.batching.gathering import HostTokens, Rows, Tokens, gathered
from textloom.data.encoding import TokenSplit

SHUFFLED_AT_ONCE = 1 << 25  # windows: of more, each stretch is shuffled by itself, so that memory stays bounded
LOCATED_AT_ONCE = 1 << 12  # windows, whole batches of them: for a small one NumPy's calls cost more than what they do
MEASURED = 10_000  # windows whose lengths stand for all


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
        self.stride = stride
        self.shortest_context = shortest_context
        lengths = np.diff(split.boundaries)
        per_document = np.maximum(0, -(-(lengths - shortest_context + 1) // stride))
        self.ends = np.cumsum(per_document)  # (documents,) how many windows there are up to the end of each
        self.windows = int(self.ends[-1]) if split.windows is None else len(split.windows)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-self.windows // self.batch_size)

    @property
    def steps_per_target(self) -> float:
        """Tokens read for each target: the mean length of the contexts, of some windows from all over the part."""
        some = np.unique(np.linspace(0, self.windows - 1, MEASURED).astype(np.int64))
        return float(self._lengths(self._positions(some)).mean())

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from the given one on."""
        return gathered(self.tokens, self._rows_of(epoch, start))

    def _rows_of(self, epoch: int, start: int) -> Iterator[Rows]:
        size = self.batch_size
        at_once, located = (max(1, most // size) * size for most in (SHUFFLED_AT_ONCE, LOCATED_AT_ONCE))
        stretches = np.arange(-(-self.windows // at_once))
        if self.shuffle_seed is not None and len(stretches) > 1:
            full = np.random.default_rng((self.shuffle_seed, epoch)).permutation(stretches[:-1])
            stretches = np.append(full, stretches[-1])
        for place in range(start * size // at_once, len(stretches)):
            order = self._order(int(stretches[place]) * at_once, at_once, epoch)
            for first in range(max(0, start * size - place * at_once), len(order), located):
                positions = self._positions(order[first : first + located])
                lengths = self._lengths(positions)
                for batch in range(0, len(positions), size):
                    yield self._rows(positions[batch : batch + size], lengths[batch : batch + size])

    def _order(self, first: int, at_once: int, epoch: int) -> np.ndarray:
        """The numbers of the windows of one stretch, shuffled where the part is to be."""
        order = np.arange(first, min(first + at_once, self.windows))
        if self.shuffle_seed is None:
            return order
        seed = (self.shuffle_seed, epoch, first) if first else (self.shuffle_seed, epoch)
        return np.random.default_rng(seed).permutation(order)

    def _positions(self, numbers: np.ndarray) -> np.ndarray:
        """Where the targets of windows stand: every ``stride``-th token of each document."""
        if self.split.windows is not None:
            dealt: np.ndarray = self.split.windows[numbers]
            return dealt
        documents = np.searchsorted(self.ends, numbers, side="right")
        before = np.where(documents > 0, self.ends[documents - 1], 0)
        positions: np.ndarray = (
            self.split.boundaries[documents] + self.shortest_context + (numbers - before) * self.stride
        )
        return positions

    def _rows(self, positions: np.ndarray, lengths: np.ndarray) -> Rows:
        ours = lengths[self.share]
        return Rows(positions[self.share] - ours, ours, self.context, True, True, len(positions))

    def _lengths(self, positions: np.ndarray) -> np.ndarray:
        boundaries = self.split.boundaries
        beginnings = boundaries[np.searchsorted(boundaries, positions, side="left") - 1]
        lengths: np.ndarray = np.minimum(positions - beginnings, self.context)
        return lengths
