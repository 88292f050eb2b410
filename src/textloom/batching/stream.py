"""All documents end to end, with carried state."""

from collections.abc import Iterator

import numpy as np

from textloom.batching.batch import Spans
from textloom.batching.batching import ALL_ROWS, Batching
from textloom.data.encoding import TokenSplit

FULL_LENGTH = 0.95  # probability, if lengths are random, of a batch around ``steps``; the others are around half of it
LENGTH_DEVIATION, SHORTEST_LENGTH = 5.0, 5  # tokens
DRAWN_AT_ONCE = 1 << 10  # lengths; with another number other lengths are drawn


class Stream(Batching):
    """Many-to-many over all documents end to end: truncated backpropagation through time with carried state.

    The text is cut into ``rows`` equal pieces, and a batch reads the next ``steps`` tokens of each; every token is a
    target once. The method is that of Williams and Peng (1990), "An efficient gradient-based algorithm for on-line
    training of recurrent network trajectories", with equal forward and backward lengths. With a seed these are random,
    so that each epoch cuts the text at other places: Merity et al. (2018), arXiv 1708.02182, section 4.1.
    """

    def __init__(
        self, split: TokenSplit, rows: int, steps: int, share: slice = ALL_ROWS, length_seed: int | None = None
    ):
        super().__init__(split, share)
        self.steps = steps
        self.length_seed = length_seed
        self.row_starts = np.arange(rows) * split.targets // rows
        self.row_lengths = np.diff(np.append(self.row_starts, split.targets))  # differ by one token at most

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self.batches_in(0)

    def batches_in(self, epoch: int) -> int:
        """Batches in this epoch."""
        return len(self._cuts(epoch)) - 1

    def _spans(self, epoch: int, start: int) -> Iterator[Spans]:
        """The text has one order: epochs differ in the lengths of their batches alone, if those are random."""
        cuts = self._cuts(epoch)
        for index in range(start, len(cuts) - 1):
            first, end = int(cuts[index]), int(cuts[index + 1])
            lengths = np.minimum(self.row_lengths, end) - first
            ours = lengths[self.share]
            begins = self.row_starts[self.share] + first
            relative = 1.0 if self.length_seed is None else (end - first) / self.steps
            yield Spans(begins, ours, int(ours.max(initial=0)), False, index == 0, int(lengths.sum()), relative)

    def _cuts(self, epoch: int) -> np.ndarray:
        """(batches + 1,) where the batches of an epoch begin in each row, and the end of the longest row."""
        longest = int(self.row_lengths.max())
        if self.length_seed is None:
            return np.append(np.arange(0, longest, self.steps), longest)
        generator = np.random.default_rng((self.length_seed, epoch))
        blocks, end = [np.zeros(1, dtype=np.int64)], 0
        while end < longest:
            blocks.append(end + np.cumsum(_random_lengths(generator, self.steps)))
            end = int(blocks[-1][-1])
        cuts = np.concatenate(blocks)
        return np.append(cuts[cuts < longest], longest)


def _random_lengths(generator: np.random.Generator, steps: int) -> np.ndarray:
    """Lengths of the next batches in tokens, by the rule of Merity et al. (2018) and their program, awd-lstm-lm."""
    full = generator.random(DRAWN_AT_ONCE) < FULL_LENGTH
    drawn = generator.normal(np.where(full, steps, steps / 2), LENGTH_DEVIATION)
    return np.maximum(drawn.astype(np.int64), SHORTEST_LENGTH)
