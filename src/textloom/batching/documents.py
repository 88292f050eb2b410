"""Many-to-many within each document: documents of similar length side by side, padded and masked."""

from collections.abc import Iterator

import numpy as np

from textloom.batching.batch import ALL_ROWS, Batch
from textloom.batching.gathering import HostTokens, Rows, Tokens, gathered
from textloom.data.encoding import TokenSplit


class Documents:
    """Groups of ``batch_size`` documents, in pieces of at most ``steps`` tokens; the state goes on within a group.

    The pieces of a group differ by one token at most: each is an optimizer step, in which a short remainder would weigh
    as much as a full piece. Which documents share a group is drawn once; an epoch shuffles the groups.
    """

    def __init__(
        self,
        split: TokenSplit,
        batch_size: int,
        steps: int,
        shuffle_seed: int | None = None,
        share: slice = ALL_ROWS,
    ):
        self.split = split
        self.tokens: Tokens = HostTokens(split.tokens)
        self.shuffle_seed = shuffle_seed
        self.share = share
        lengths = np.diff(split.boundaries)
        order = np.arange(split.documents)
        if shuffle_seed is not None:
            order = np.random.default_rng(shuffle_seed).permutation(order)
        self.order = order[np.argsort(-lengths[order], kind="stable")]  # longest first, ties in random order
        self.batch_size = batch_size
        longest = lengths[self.order[::batch_size]]  # (groups,)
        self.chunks = -(-longest // steps)  # (groups,) batches that each group takes
        # (groups,) tokens of the longest document in each of them, and how many of them, the first, have one more
        self.widths, self.longer = np.divmod(longest, np.maximum(self.chunks, 1))

    def __len__(self) -> int:
        """Batches in an epoch."""
        return int(self.chunks.sum())

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from the given one on."""
        return gathered(self.tokens, self._rows_of(epoch, start))

    def _rows_of(self, epoch: int, start: int) -> Iterator[Rows]:
        groups = np.arange(len(self.chunks))
        if self.shuffle_seed is not None:
            groups = np.random.default_rng((self.shuffle_seed, epoch)).permutation(groups)
        ends = np.cumsum(self.chunks[groups])
        for index in range(start, len(self)):
            place = np.searchsorted(ends, index, side="right")
            group = groups[place]
            yield self._rows(group, index - int(ends[place] - self.chunks[group]))

    def _rows(self, group: int, chunk: int) -> Rows:
        members = self.order[group * self.batch_size : (group + 1) * self.batch_size]
        width, longer = int(self.widths[group]), int(self.longer[group])
        begins = self.split.boundaries[members] + chunk * width + min(chunk, longer)
        width += chunk < longer
        lengths = np.clip(self.split.boundaries[members + 1] - begins, 0, width)
        ours = lengths[self.share]
        return Rows(begins[self.share], ours, int(ours.max(initial=0)), False, chunk == 0, int(lengths.sum()))
