"""Windows of tokens, in training in a random order."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from textloom.batching.batch import Spans
from textloom.batching.batching import ALL_ROWS, Batching
from textloom.data.encoding import TokenSplit

SHUFFLED_AT_ONCE = 1 << 25  # windows; longer splits are shuffled in stretches of this length, to bound memory
LOCATED_AT_ONCE = 1 << 12  # windows, in one call for several batches: a small batch would cost mostly calls of NumPy
MEASURED = 10_000  # windows in the sample that the mean length is taken from


class Windows(Batching):
    """Many-to-one, as in the tutorials: up to ``context`` tokens of a document predict the one after them.

    Every target costs a pass over its whole context, where ``documents`` and ``stream`` spend one step on it. Without
    ``last_only`` each token of the window predicts the next one, and windows that overlap share targets.
    """

    def __init__(
        self,
        split: TokenSplit,
        batch_size: int,
        context: int,
        stride: int = 1,
        shortest_context: int = 1,
        shuffle_seed: int | None = None,
        share: slice = ALL_ROWS,
        last_only: bool = True,
    ):
        super().__init__(split, share)
        self.batch_size = batch_size
        self.context = context
        self.last_only = last_only
        self.shuffle_seed = shuffle_seed
        self.stride = stride
        self.shortest_context = shortest_context
        lengths = np.diff(split.boundaries)
        per_document = np.maximum(0, -(-(lengths - shortest_context + 1) // stride))
        self.ends = np.cumsum(per_document)  # (documents,) number of windows up to the end of each
        self.windows = int(self.ends[-1]) if split.windows is None else len(split.windows)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-self.windows // self.batch_size)

    @property
    def steps_per_target(self) -> float:
        """Mean length of the contexts, in a sample of windows from the whole split; 1 if each token has a target."""
        if not self.last_only:
            return 1.0
        some = np.unique(np.linspace(0, self.windows - 1, MEASURED).astype(np.int64))
        return float(self._lengths(self._positions(some)).mean())

    def _spans(self, epoch: int, start: int) -> Iterator[Spans]:
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
                for row in range(0, len(positions), size):
                    yield self._batch(positions[row : row + size], lengths[row : row + size])

    def _order(self, first: int, at_once: int, epoch: int) -> np.ndarray:
        """The numbers of the windows of one stretch, shuffled if there is a seed."""
        order = np.arange(first, min(first + at_once, self.windows))
        if self.shuffle_seed is None:
            return order
        seed = (self.shuffle_seed, epoch, first) if first else (self.shuffle_seed, epoch)
        return np.random.default_rng(seed).permutation(order)

    def _positions(self, numbers: np.ndarray) -> np.ndarray:
        """The positions of the targets of windows: every ``stride``-th token of each document."""
        if self.split.windows is not None:
            dealt: np.ndarray = self.split.windows[numbers]
            return dealt
        documents = np.searchsorted(self.ends, numbers, side="right")
        before = np.where(documents > 0, self.ends[documents - 1], 0)
        positions: np.ndarray = (
            self.split.boundaries[documents] + self.shortest_context + (numbers - before) * self.stride
        )
        return positions

    def _lengths(self, positions: np.ndarray) -> np.ndarray:
        """Lengths of the contexts of these targets: never across the beginning of a document."""
        boundaries = self.split.boundaries
        beginnings = boundaries[np.searchsorted(boundaries, positions, side="left") - 1]
        lengths: np.ndarray = np.minimum(positions - beginnings, self.context)
        return lengths

    def _batch(self, positions: np.ndarray, lengths: np.ndarray) -> Spans:
        ours = lengths[self.share]
        targets = len(positions) if self.last_only else int(lengths.sum())
        return Spans(positions[self.share] - ours, ours, self.context, self.last_only, True, targets)


def in_windows(split: TokenSplit, size: int) -> TokenSplit:
    """The split as if each ``size`` tokens were a document; the last one has the rest."""
    return replace(split, boundaries=np.append(np.arange(0, split.targets, size), split.targets))
