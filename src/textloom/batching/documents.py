"""Documents side by side, padded."""

from collections.abc import Iterator

import numpy as np

from textloom.batching.batch import Spans
from textloom.batching.batching import ALL_ROWS, Batching
from textloom.data.encoding import TokenSplit


class Documents(Batching):
    """Many-to-many within each document: documents of similar length side by side, padded and masked.

    Groups of ``batch_size`` documents are read in pieces of at most ``steps`` tokens, with the state carried within a
    group. The pieces of a group differ by one token at most: each is an optimizer step, and a short remainder would
    weigh as much as a full piece. Which documents share a group is drawn once; an epoch shuffles the groups.
    """

    def __init__(
        self,
        split: TokenSplit,
        batch_size: int,
        steps: int,
        shuffle_seed: int | None = None,
        share: slice = ALL_ROWS,
    ):
        super().__init__(split, share)
        self.shuffle_seed = shuffle_seed
        lengths = np.diff(split.boundaries)
        order = np.arange(split.documents)
        if shuffle_seed is not None:
            order = np.random.default_rng(shuffle_seed).permutation(order)
        self.order = order[np.argsort(-lengths[order], kind="stable")]  # longest first, ties in random order
        self.batch_size = batch_size
        longest = lengths[self.order[::batch_size]]  # (groups,)
        self.pieces = -(-longest // steps)  # (groups,) batches that each group takes
        # (groups,) tokens of the longest document in each piece, and how many pieces, the first, have one more
        self.widths, self.longer = np.divmod(longest, np.maximum(self.pieces, 1))

    def __len__(self) -> int:
        """Batches in an epoch."""
        return int(self.pieces.sum())

    def _spans(self, epoch: int, start: int) -> Iterator[Spans]:
        groups = np.arange(len(self.pieces))
        if self.shuffle_seed is not None:
            groups = np.random.default_rng((self.shuffle_seed, epoch)).permutation(groups)
        ends = np.cumsum(self.pieces[groups])
        for index in range(start, len(self)):
            place = np.searchsorted(ends, index, side="right")
            group = groups[place]
            yield self._piece(group, index - int(ends[place] - self.pieces[group]))

    def _piece(self, group: int, piece: int) -> Spans:
        members = self.order[group * self.batch_size : (group + 1) * self.batch_size]
        width, longer = int(self.widths[group]), int(self.longer[group])
        begins = self.split.boundaries[members] + piece * width + min(piece, longer)
        width += piece < longer
        lengths = np.clip(self.split.boundaries[members + 1] - begins, 0, width)
        ours = lengths[self.share]
        return Spans(begins[self.share], ours, int(ours.max(initial=0)), False, piece == 0, int(lengths.sum()))
