"""All batches of a split, in training and in evaluation: windows, documents or a stream, as the config says."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np

from textloom.batching.batch import Batch, HostTokens, Spans, Tokens, gather_all
from textloom.batching.singletons import SingletonDropout
from textloom.config import BatchingConfig, DocumentsConfig, StreamConfig
from textloom.data.encoding import TokenSplit
from textloom.errors import DataError
from textloom.system.ranks import ALONE, Ranks

ALL_ROWS = slice(None)
EVALUATION_STEPS = 512  # longer than in training: state is carried, so the figures are the same, with fewer calls
EVALUATION_WINDOWS = 512
SHUFFLED_AT_ONCE = 1 << 25  # windows; longer splits are shuffled in stretches of this length, to bound memory
LOCATED_AT_ONCE = 1 << 12  # windows, in one call for several batches: a small batch would cost mostly calls of NumPy
FULL_LENGTH = 0.95  # probability, if lengths are random, of a batch around ``steps``; the others are around half of it
LENGTH_DEVIATION, SHORTEST_LENGTH = 5.0, 5  # tokens
DRAWN_AT_ONCE = 1 << 10  # lengths; with another number other lengths are drawn
MEASURED = 10_000  # windows in the sample that the mean length is taken from


def training_batches(
    config: BatchingConfig, split: TokenSplit, batch_size: int, seed: int, ranks: Ranks = ALONE
) -> "Batching":
    """The batches to train on, ``batch_size`` rows for each rank, which are its share of one large batch.

    Raises DataError if the text is too short for one batch.
    """
    rows = batch_size * ranks.size
    if isinstance(config, DocumentsConfig):
        _refuse_idle_ranks(split.documents, "documents", ranks)
        return Documents(split, rows, config.steps, seed, ranks.share)
    if isinstance(config, StreamConfig):
        if split.targets < rows:
            raise DataError(
                f"the training split has {split.targets} tokens, too few for {rows} rows; "
                "lower trainer.batch_size or give more text"
            )
        return Stream(split, rows, config.steps, ranks.share, seed if config.random_steps else None)
    last = config.targets == "last"
    batching = Windows(split, rows, config.context, config.stride, config.shortest_context, seed, ranks.share, last)
    if not len(batching):
        raise DataError(
            f"no document of the training split has the {config.shortest_context + 1} tokens of one window; "
            "lower batching.shortest_context and batching.context, or give more text"
        )
    _refuse_idle_ranks(batching.windows, "windows", ranks)
    return batching


def evaluation_batches(
    config: BatchingConfig, split: TokenSplit, batch_size: int, share: slice = ALL_ROWS
) -> "Batching":
    """The batches that score every token of a split once, in a fixed order; or the share of one rank of each."""
    if isinstance(config, DocumentsConfig):
        return Documents(split, batch_size, EVALUATION_STEPS, share=share)
    if isinstance(config, StreamConfig):
        return Stream(split, min(config.evaluation_rows, split.targets), EVALUATION_STEPS, share)
    return Windows(split, EVALUATION_WINDOWS, config.context, share=share)


def _refuse_idle_ranks(rows: int, what: str, ranks: Ranks) -> None:
    if rows < ranks.size:
        raise DataError(
            f"the training split has {rows} {what}, too few for {ranks.size} devices; "
            "lower trainer.devices or give more text"
        )


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
