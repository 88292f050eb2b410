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
    ``last_only`` each token of the window predicts the next one, and windows that overlap share targets. These windows
    are cut from all documents end to end, as in validation: within short ones most of a window would be padding.
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
        within_documents = last_only or split.windows is not None
        self.boundaries = split.boundaries if within_documents else split.boundaries[[0, -1]]
        lengths = np.diff(self.boundaries)
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
        return float(self._extents(some)[1].mean())

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
                begins, lengths = self._extents(order[first : first + located])
                for row in range(0, len(begins), size):
                    yield self._batch(begins[row : row + size], lengths[row : row + size])

    def _order(self, first: int, at_once: int, epoch: int) -> np.ndarray:
        """The numbers of the windows of one stretch, shuffled if there is a seed."""
        order = np.arange(first, min(first + at_once, self.windows))
        if self.shuffle_seed is None:
            return order
        seed = (self.shuffle_seed, epoch, first) if first else (self.shuffle_seed, epoch)
        return np.random.default_rng(seed).permutation(order)

    def _extents(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The positions at which windows begin, and their lengths: never across the beginning of a document."""
        if self.split.windows is not None:
            targets = self.split.windows[numbers]
        else:
            documents = np.searchsorted(self.ends, numbers, side="right")
            before = np.where(documents > 0, self.ends[documents - 1], 0)
            begins = self.boundaries[documents] + (numbers - before) * self.stride
            if not self.last_only:
                return begins, np.minimum(self.boundaries[documents + 1] - begins, self.context)
            targets = begins + self.shortest_context
        beginnings = self.boundaries[np.searchsorted(self.boundaries, targets, side="left") - 1]
        lengths = np.minimum(targets - beginnings, self.context)
        return targets - lengths, lengths

    def _batch(self, begins: np.ndarray, lengths: np.ndarray) -> Spans:
        ours = lengths[self.share]
        targets = len(begins) if self.last_only else int(lengths.sum())
        return Spans(begins[self.share], ours, self.context, self.last_only, True, targets)


def in_windows(split: TokenSplit, size: int) -> TokenSplit:
    """The split as if each ``size`` tokens were a document; the last one has the rest."""
    return replace(split, boundaries=np.append(np.arange(0, split.targets, size), split.targets))
