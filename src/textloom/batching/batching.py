"""The batches of one split, in an order that can be entered anywhere."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np

from textloom.batching.batch import Batch, HostTokens, Spans, Tokens, gather_all
from textloom.batching.singletons import SingletonDropout
from textloom.data.encoding import TokenSplit

ALL_ROWS = slice(None)


class Batching(ABC):
    """All batches of one split, in an order that follows from the seed and the epoch alone.

    ``share`` selects rows of each batch: there are as many batches for each share, some of them perhaps empty.
    """

    def __init__(self, split: TokenSplit, share: slice):
        self.split = split
        self.share = share
        self.tokens: Tokens = HostTokens(split.tokens)  # the data module moves them to the device that trains
        self.singleton_dropout: SingletonDropout | None = None  # of training batches, if the config has it

    @abstractmethod
    def __len__(self) -> int:
        """Batches in an epoch; in the first one if their lengths are random."""

    def batches_in(self, epoch: int) -> int:
        """Batches in this epoch."""
        return len(self)

    @property
    def steps_per_target(self) -> float:
        """Tokens that are read for each target."""
        return 1.0

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from the given one on."""
        gathered = gather_all(self.tokens, self._spans(epoch, start))
        return gathered if self.singleton_dropout is None else self.singleton_dropout.apply(gathered, epoch)

    def located(self) -> Iterator[tuple[Batch, np.ndarray]]:
        """The batches of the first epoch, each with the places of its targets in the tokens, (targets,)."""
        return zip(self.batches(0), (spans.target_places() for spans in self._spans(0, 0)), strict=True)

    @abstractmethod
    def _spans(self, epoch: int, start: int) -> Iterator[Spans]:
        """The positions of each of these batches in the tokens."""
