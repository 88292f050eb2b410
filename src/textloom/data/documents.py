"""Many-to-many within each document: documents of similar length side by side, padded and masked."""

from collections.abc import Iterator

import numpy as np

from textloom.data.batches import ALL_ROWS, Batch
from textloom.data.encoding import TokenSplit
from textloom.data.gathering import HostTokens, Rows, Tokens, gathered


class Documents:
    """Groups of ``batch_size`` documents, cut every ``steps`` tokens; the state goes on within a group.

    Which documents share a group is drawn once; an epoch shuffles the groups.
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
        self.steps = steps
        self.shuffle_seed = shuffle_seed
        self.share = share
        lengths = np.diff(split.boundaries)
        order = np.arange(split.documents)
        if shuffle_seed is not None:
            order = np.random.default_rng(shuffle_seed).permutation(order)
        self.order = order[np.argsort(-lengths[order], kind="stable")]  # longest first, ties in random order
        self.batch_size = batch_size
        self.chunks = -(-lengths[self.order[::batch_size]] // steps)  # (groups,) batches that each group takes

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
            members = self.order[group * self.batch_size : (group + 1) * self.batch_size]
            yield self._rows(members, index - int(ends[place] - self.chunks[group]))

    def _rows(self, group: np.ndarray, chunk: int) -> Rows:
        begins = self.split.boundaries[group] + chunk * self.steps
        lengths = np.clip(self.split.boundaries[group + 1] - begins, 0, self.steps)
        ours = lengths[self.share]
        return Rows(begins[self.share], ours, int(ours.max(initial=0)), False, chunk == 0, int(lengths.sum()))
