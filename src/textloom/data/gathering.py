"""From where the rows of a batch lie in the tokens to the batch: on the CPU, or on a GPU that holds all tokens."""

from typing import NamedTuple, Protocol

import numpy as np
import torch

from textloom.data.batches import PAD, Batch

SHARE_OF_FREE_MEMORY = 0.25  # of a GPU, that the tokens may take


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

    def positions(self) -> np.ndarray | None:
        """As in Batch."""
        if self.last_only:
            last: np.ndarray = np.arange(len(self.begins)) * self.width + self.lengths - 1
            return last
        return None if self.full else np.flatnonzero(np.arange(self.width) < self.lengths[:, None])


class Tokens(Protocol):
    """The tokens of one part of the corpus, wherever they lie."""

    def batch(self, rows: Rows) -> Batch:
        """Those of some rows, where they lie."""


class HostTokens:
    """Memory-mapped."""

    def __init__(self, tokens: np.ndarray):
        self.tokens = tokens  # (tokens,)

    def batch(self, rows: Rows) -> Batch:
        """On the CPU."""
        tokens, time = self.tokens, np.arange(rows.width)
        source = rows.begins[:, None] + time  # (rows, time)
        positions = rows.positions()
        if rows.full:
            inputs = tokens[source]
        else:
            filled = time < rows.lengths[:, None]
            inputs = np.where(filled, tokens[np.where(filled, source, 0)], PAD)
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
        begins, lengths, positions = map(self._sent, (rows.begins, rows.lengths, rows.positions()))
        assert begins is not None
        assert lengths is not None
        time = torch.arange(rows.width, device=self.device)
        source = begins[:, None] + time  # (rows, time)
        if rows.full:
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


def tokens_on(device: torch.device, tokens: np.ndarray) -> Tokens:
    """On a GPU where they fit; else where they are."""
    if device.type == "cuda" and tokens.nbytes <= SHARE_OF_FREE_MEMORY * torch.cuda.mem_get_info(device)[0]:
        return DeviceTokens(tokens, device)
    return HostTokens(tokens)
