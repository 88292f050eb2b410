"""From where the rows of a batch lie in the tokens to the batch: on the CPU, or on a GPU that holds all tokens."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple, Protocol

import numpy as np
import torch

from textloom.batching.batch import PAD, Batch

SHARE_OF_FREE_MEMORY = 0.25  # of a GPU, that the tokens may take
TOKENS_AT_ONCE = 1 << 15  # small batches are gathered several at a time: each call costs more than what it does


class Rows(NamedTuple):
    """Where a batch lies in the tokens: row k reads ``tokens[begins[k] : begins[k] + lengths[k]]``."""

    begins: np.ndarray
    """(rows,) int64."""
    lengths: np.ndarray
    """(rows,) int64, ``width`` at most."""
    width: int
    """Tokens of a row with its padding."""
    last_only: bool
    """Whether the token after a row is its only target; else each token predicts the one after it."""
    starts: bool
    """As in Batch."""
    targets_of_all_ranks: int
    """As in Batch."""

    @property
    def full(self) -> bool:
        """Whether no row is padded."""
        return bool((self.lengths == self.width).all())

    def filled(self) -> np.ndarray | None:
        """(rows, width) bool, where there is a token; None: everywhere."""
        filled: np.ndarray | None = None if self.full else np.arange(self.width) < self.lengths[:, None]
        return filled

    def positions(self, filled: np.ndarray | None) -> np.ndarray | None:
        """As in Batch."""
        if self.last_only:
            last: np.ndarray = np.arange(len(self.begins)) * self.width + self.lengths - 1
            return last
        return None if filled is None else np.flatnonzero(filled)


class Tokens(Protocol):
    """The tokens of one part of the corpus, wherever they lie."""

    def batch(self, rows: Rows) -> Batch:
        """Those of some rows, where they lie."""


class HostTokens:
    """Memory-mapped."""

    def __init__(self, tokens: np.ndarray):
        self.tokens = np.asarray(tokens)  # (tokens,); indexing a memmap itself takes twice as long

    def batch(self, rows: Rows) -> Batch:
        """On the CPU."""
        tokens, filled = self.tokens, rows.filled()
        positions = rows.positions(filled)
        source = rows.begins[:, None] + np.arange(rows.width)  # (rows, time)
        inputs = tokens[source] if filled is None else np.where(filled, tokens[np.where(filled, source, 0)], PAD)
        if rows.last_only:
            targets = tokens[rows.begins + rows.lengths]
        else:
            after = source.ravel() if positions is None else source.ravel()[positions]
            targets = tokens[after + 1]
        return Batch(
            torch.from_numpy(inputs.astype(np.int64)),
            torch.from_numpy(targets.astype(np.int64)),
            None if positions is None else torch.from_numpy(positions),
            rows.starts,
            rows.targets_of_all_ranks,
        )


class DeviceTokens:
    """On a device: for each batch only the beginnings and lengths of its rows go there, and it is gathered there."""

    def __init__(self, tokens: np.ndarray, device: torch.device):
        # torch computes with few unsigned types: the same bits, and the sign bit masked off after the look-up
        signed = tokens.view(np.dtype(f"i{tokens.itemsize}")) if tokens.itemsize > 1 else tokens
        self.tokens = torch.from_numpy(np.array(signed)).to(device)
        self.mask = (1 << 8 * tokens.itemsize) - 1 if tokens.itemsize < 8 else -1
        self.device = device

    def batch(self, rows: Rows) -> Batch:
        """On the device, with nothing that waits for it."""
        on_host = rows.filled()
        begins, lengths, positions = map(self._sent, (rows.begins, rows.lengths, rows.positions(on_host)))
        assert begins is not None
        assert lengths is not None
        time = torch.arange(rows.width, device=self.device)
        source = begins[:, None] + time  # (rows, time)
        if on_host is None:
            inputs = self._at(source)
        else:
            filled = time < lengths[:, None]
            inputs = self._at(torch.where(filled, source, 0)).masked_fill(~filled, PAD)
        if rows.last_only:
            targets = self._at(begins + lengths)
        else:
            targets = self._at(1 + (source.flatten() if positions is None else source.flatten()[positions]))
        return Batch(inputs, targets, positions, rows.starts, rows.targets_of_all_ranks)

    def _at(self, source: torch.Tensor) -> torch.Tensor:
        return self.tokens[source].long() & self.mask

    def _sent(self, values: np.ndarray | None) -> torch.Tensor | None:
        return None if values is None else torch.from_numpy(values).to(self.device, non_blocking=True)


def gathered(tokens: Tokens, batches: Iterable[Rows]) -> Iterator[Batch]:
    """A batch for each of the rows, in their order."""
    for (width, _), alike in groupby(batches, key=lambda rows: (rows.width, rows.full)):
        several: list[Rows] = []
        room = TOKENS_AT_ONCE
        for rows in alike:
            several.append(rows)
            room -= len(rows.begins) * width
            if room <= 0:
                yield from _together(tokens, several)
                several, room = [], TOKENS_AT_ONCE
        if several:
            yield from _together(tokens, several)


def _together(tokens: Tokens, several: list[Rows]) -> list[Batch]:
    """Gathered as one batch, which is then cut."""
    begins = np.concatenate([rows.begins for rows in several])
    lengths = np.concatenate([rows.lengths for rows in several])
    every = tokens.batch(several[0]._replace(begins=begins, lengths=lengths))
    batches = []
    row = target = 0
    for rows in several:
        part = slice(row, row + len(rows.begins))
        targets = slice(target, target + (len(rows.begins) if rows.last_only else int(rows.lengths.sum())))
        positions = None if every.positions is None else every.positions[targets] - row * rows.width
        batch = Batch(every.inputs[part], every.targets[targets], positions, rows.starts, rows.targets_of_all_ranks)
        batches.append(batch)
        row, target = part.stop, targets.stop
    return batches


def tokens_on(device: torch.device, tokens: np.ndarray) -> Tokens:
    """On a GPU where they fit; else where they are."""
    if device.type == "cuda" and tokens.nbytes <= SHARE_OF_FREE_MEMORY * torch.cuda.mem_get_info(device)[0]:
        return DeviceTokens(tokens, device)
    return HostTokens(tokens)
