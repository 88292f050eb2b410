"""A batch, and gathering it from the tokens: on the CPU, or on a GPU that holds all of them."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple, Protocol

import numpy as np
import torch

PAD = 0  # any valid id: padding is to the right of every scored token, so it never affects a loss
SHARE_OF_FREE_MEMORY = 0.25  # of a GPU, for the tokens of a split
TOKENS_AT_ONCE = 1 << 15  # small batches are gathered several at a time: each call costs more than its work


class Batch(NamedTuple):
    """Input tokens and target tokens. The softmax is computed only for hidden states that have a target."""

    inputs: torch.Tensor
    """(batch, time) int64, padded on the right."""
    targets: torch.Tensor
    """(targets,) int64, the tokens to predict."""
    positions: torch.Tensor | None
    """(targets,) int64, where in the flattened (batch * time) hidden states each is predicted; None: everywhere."""
    starts: bool
    """True if the rows start from the initial state, False if they continue from the state after the last batch."""
    targets_of_all_ranks: int
    """Number of targets in the batch of all ranks together; that of ``targets`` if there is one rank."""
    relative_length: float = 1.0
    """Time steps / ``batching.steps`` if lengths are random; the learning rate of the step is multiplied by it."""

    def states_with_targets(self, hidden: torch.Tensor) -> torch.Tensor:
        """The hidden states that have a target: (batch, time, units) -> (targets, units)."""
        flat = hidden.flatten(0, 1)
        return flat if self.positions is None else flat.index_select(0, self.positions)

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        if self.inputs.device == device:
            return self
        positions = self.positions.to(device) if self.positions is not None else None
        return self._replace(inputs=self.inputs.to(device), targets=self.targets.to(device), positions=positions)


class Spans(NamedTuple):
    """The place of a batch in the tokens: row k reads ``tokens[begins[k] : begins[k] + lengths[k]]``."""

    begins: np.ndarray
    """(rows,) int64."""
    lengths: np.ndarray
    """(rows,) int64, ``width`` at most."""
    width: int
    """Length of a row, padding included."""
    last_only: bool
    """True if the token after a row is its only target, False if each token predicts the next one."""
    starts: bool
    """As in Batch."""
    targets_of_all_ranks: int
    """As in Batch."""
    relative_length: float = 1.0
    """As in Batch."""

    @property
    def full(self) -> bool:
        """True if no row is padded."""
        return bool((self.lengths == self.width).all())

    def filled(self) -> np.ndarray | None:
        """(rows, width) bool, True where there is a token; None: everywhere."""
        filled: np.ndarray | None = None if self.full else np.arange(self.width) < self.lengths[:, None]
        return filled

    def positions(self, filled: np.ndarray | None) -> np.ndarray | None:
        """As in Batch."""
        if self.last_only:
            last: np.ndarray = np.arange(len(self.begins)) * self.width + self.lengths - 1
            return last
        return None if filled is None else np.flatnonzero(filled)

    def target_places(self) -> np.ndarray:
        """(targets,) positions of the targets in the tokens, in the order of ``Batch.targets``."""
        if self.last_only:
            after: np.ndarray = self.begins + self.lengths
            return after
        source: np.ndarray = (self.begins[:, None] + np.arange(self.width)).ravel()
        positions = self.positions(self.filled())
        places: np.ndarray = 1 + (source if positions is None else source[positions])
        return places


class Tokens(Protocol):
    """The tokens of one split, on the host or on a device."""

    def gather(self, spans: Spans) -> Batch:
        """Gather the batch at these spans, on the same device."""


class HostTokens:
    """Memory-mapped tokens, (tokens,)."""

    def __init__(self, tokens: np.ndarray):
        self.tokens = np.asarray(tokens)  # indexing a memmap itself takes twice as long

    def gather(self, spans: Spans) -> Batch:
        """Gather the batch at these spans, on the CPU."""
        tokens, filled = self.tokens, spans.filled()
        positions = spans.positions(filled)
        source = spans.begins[:, None] + np.arange(spans.width)  # (rows, time)
        inputs = tokens[source] if filled is None else np.where(filled, tokens[np.where(filled, source, 0)], PAD)
        if spans.last_only:
            targets = tokens[spans.begins + spans.lengths]
        else:
            after = source.ravel() if positions is None else source.ravel()[positions]
            targets = tokens[after + 1]
        return Batch(
            torch.from_numpy(inputs.astype(np.int64)),
            torch.from_numpy(targets.astype(np.int64)),
            None if positions is None else torch.from_numpy(positions),
            spans.starts,
            spans.targets_of_all_ranks,
            spans.relative_length,
        )


class DeviceTokens:
    """Tokens on a device. A batch is gathered there; only the beginnings and lengths of its rows are copied to it."""

    def __init__(self, tokens: np.ndarray, device: torch.device):
        # torch has few operations for unsigned types: use a signed view, and mask off the sign bits after the look-up
        signed = tokens.view(np.dtype(f"i{tokens.itemsize}")) if tokens.itemsize > 1 else tokens
        self.tokens = torch.from_numpy(np.array(signed)).to(device)
        self.mask = (1 << 8 * tokens.itemsize) - 1 if tokens.itemsize < 8 else -1
        self.device = device

    def gather(self, spans: Spans) -> Batch:
        """Gather the batch at these spans on the device, without waiting for it."""
        on_host = spans.filled()
        begins, lengths, positions = map(self._copied, (spans.begins, spans.lengths, spans.positions(on_host)))
        assert begins is not None
        assert lengths is not None
        time = torch.arange(spans.width, device=self.device)
        source = begins[:, None] + time  # (rows, time)
        if on_host is None:
            inputs = self._at(source)
        else:
            filled = time < lengths[:, None]
            inputs = self._at(torch.where(filled, source, 0)).masked_fill(~filled, PAD)
        if spans.last_only:
            targets = self._at(begins + lengths)
        else:
            targets = self._at(1 + (source.flatten() if positions is None else source.flatten()[positions]))
        return Batch(inputs, targets, positions, spans.starts, spans.targets_of_all_ranks, spans.relative_length)

    def _at(self, source: torch.Tensor) -> torch.Tensor:
        return self.tokens[source].long() & self.mask

    def _copied(self, values: np.ndarray | None) -> torch.Tensor | None:
        return None if values is None else torch.from_numpy(values).to(self.device, non_blocking=True)


def tokens_on(device: torch.device, tokens: np.ndarray) -> Tokens:
    """Copy the tokens to a GPU if they fit; else leave them on the host."""
    if device.type == "cuda" and tokens.nbytes <= SHARE_OF_FREE_MEMORY * torch.cuda.mem_get_info(device)[0]:
        return DeviceTokens(tokens, device)
    return HostTokens(tokens)


def gather_all(tokens: Tokens, spans: Iterable[Spans]) -> Iterator[Batch]:
    """Gather the batches at these spans, in their order; small batches of equal shape are gathered in one call."""
    for (width, _), alike in groupby(spans, key=lambda one: (one.width, one.full)):
        several: list[Spans] = []
        room = TOKENS_AT_ONCE
        for one in alike:
            several.append(one)
            room -= len(one.begins) * width
            if room <= 0:
                yield from _gather_together(tokens, several)
                several, room = [], TOKENS_AT_ONCE
        if several:
            yield from _gather_together(tokens, several)


def _gather_together(tokens: Tokens, several: list[Spans]) -> list[Batch]:
    """Gather the rows of several batches as one batch, and split it again."""
    begins = np.concatenate([spans.begins for spans in several])
    lengths = np.concatenate([spans.lengths for spans in several])
    every = tokens.gather(several[0]._replace(begins=begins, lengths=lengths))
    batches = []
    row = target = 0
    for spans in several:
        rows = slice(row, row + len(spans.begins))
        targets = slice(target, target + (len(spans.begins) if spans.last_only else int(spans.lengths.sum())))
        positions = None if every.positions is None else every.positions[targets] - row * spans.width
        same_for_rows = spans.starts, spans.targets_of_all_ranks, spans.relative_length
        batches.append(Batch(every.inputs[rows], every.targets[targets], positions, *same_for_rows))
        row, target = rows.stop, targets.stop
    return batches
