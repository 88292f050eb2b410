"""Many-to-many within each document: documents of similar length side by side, padded and masked."""

from collections.abc import Iterator

import numpy as np
import torch

from textloom.data.batches import ALL_ROWS, PAD, Batch
from textloom.data.encoding import TokenSplit


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
        self.steps = steps
        self.shuffle_seed = shuffle_seed
        self.share = share
        lengths = np.diff(split.boundaries)
        order = np.arange(split.documents)
        if shuffle_seed is not None:
            order = np.random.default_rng(shuffle_seed).permutation(order)
        order = order[np.argsort(-lengths[order], kind="stable")]  # longest first, ties in random order
        self.groups = [order[first : first + batch_size] for first in range(0, len(order), batch_size)]
        self.chunks = [-(-int(lengths[group[0]]) // steps) for group in self.groups]  # batches that each group takes

    def __len__(self) -> int:
        """Batches in an epoch."""
        return sum(self.chunks)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from the given one on."""
        order = np.arange(len(self.groups))
        if self.shuffle_seed is not None:
            order = np.random.default_rng((self.shuffle_seed, epoch)).permutation(order)
        plan = [(group, chunk) for group in order for chunk in range(self.chunks[group])]
        for group, chunk in plan[start:]:
            yield self._batch(self.groups[group], chunk)

    def _batch(self, group: np.ndarray, chunk: int) -> Batch:
        begin = self.split.boundaries[group] + chunk * self.steps
        all_lengths = np.clip(self.split.boundaries[group + 1] - begin, 0, self.steps)
        begin, lengths = begin[self.share], all_lengths[self.share]  # (batch,)
        time = np.arange(lengths.max(initial=0))
        filled = time < lengths[:, None]  # (batch, time)
        source = np.where(filled, begin[:, None] + time, 0)
        tokens = self.split.tokens
        return Batch(
            torch.from_numpy(np.where(filled, tokens[source], PAD).astype(np.int64)),
            torch.from_numpy(tokens[source[filled] + 1].astype(np.int64)),
            torch.from_numpy(np.flatnonzero(filled)),
            starts=chunk == 0,
            targets_of_all_ranks=int(all_lengths.sum()),
        )
