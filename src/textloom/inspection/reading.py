"""Running a model over a text one token at a time, with the state before and after each token.

This needs only ``forward`` and the state, so it works for every cell. A model that was trained with carried state reads
the text once; one that was trained on windows reads the last tokens again for each token, as in its evaluation.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch.nn import functional as F

from textloom.config import BatchingConfig, StreamConfig, WindowsConfig
from textloom.inspection.text import InspectedText
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.models.state import State, batch_dimensions

ROWS_AT_ONCE = 256  # tokens whose states are in memory together, fewer if a state is large
NUMBERS_AT_ONCE = 1 << 24  # in these states


@dataclass(frozen=True)
class ReadingMode:
    """The way in which a text is read."""

    window: int | None = None
    """The last tokens that are read again for each token; None to carry the state."""
    over_documents: bool = True
    """True if the state is carried from one document to the next."""

    @classmethod
    def of(cls, batching: BatchingConfig) -> "ReadingMode":
        """The way in which a model was trained."""
        if isinstance(batching, WindowsConfig):
            return cls(batching.context, over_documents=False)
        return cls(None, isinstance(batching, StreamConfig))

    def stretches(self, text: InspectedText) -> list[tuple[int, int]]:
        """The first and the last token of each stretch of the text that is read from the initial state."""
        if self.over_documents:
            return [(0, len(text))]
        bounds = text.boundaries.tolist()
        return [(begin, end) for begin, end in pairwise(bounds) if end > begin]


@dataclass(frozen=True)
class Steps:
    """Consecutive steps of a model, as rows of a batch."""

    first: int
    """The index of the first row's token in the stretch."""
    tokens: torch.Tensor
    """(rows,): the tokens that are read."""
    before: State
    """The states before these tokens."""
    hidden: torch.Tensor
    """(rows, units): the hidden states of the last layer after these tokens."""
    after: State
    """The states after these tokens."""


@torch.no_grad()
def read_stretch(model: RecurrentLanguageModel, tokens: np.ndarray, window: int | None) -> Iterator[Steps]:
    """Every step over the tokens of a stretch, (tokens,), from the initial state."""
    ids = torch.from_numpy(tokens.astype(np.int64))
    state = model.initial_state(1)
    rows = max(1, min(ROWS_AT_ONCE, NUMBERS_AT_ONCE // max(1, sum(part.numel() for part in state))))
    for first in range(0, len(ids), rows):
        if window is None:
            steps = _carried(model, ids[first : first + rows], first, state)
            state = state_row(model, steps.after, len(steps.tokens) - 1)
        else:
            steps = _windows(model, ids[: first + rows], first, window)
        yield steps


def _carried(model: RecurrentLanguageModel, some: torch.Tensor, first: int, state: State) -> Steps:
    befores, hiddens, afters = [], [], []
    for token in some:
        befores.append(state)
        hidden, state = model(token.view(1, 1), state)
        hiddens.append(hidden[:, 0])
        afters.append(state)
    return Steps(first, some, _side_by_side(model, befores), torch.cat(hiddens), _side_by_side(model, afters))


def _windows(model: RecurrentLanguageModel, ids: torch.Tensor, first: int, window: int) -> Steps:
    """Steps from the token ``first`` on to the last; rows of equal length, which are the full windows, side by side."""
    befores, hiddens, afters = [], [], []
    place = first
    while place < len(ids):
        length = min(place + 1, window)
        rows = len(ids) - place if length == window else 1
        read = ids[place + 1 - length : place + rows].unfold(0, length, 1)  # (rows, length)
        before = model.initial_state(rows)
        if length > 1:
            _, before = model(read[:, :-1], before)
        hidden, after = model(read[:, -1:], before)
        befores.append(before)
        hiddens.append(hidden[:, 0])
        afters.append(after)
        place += rows
    return Steps(first, ids[first:], _side_by_side(model, befores), torch.cat(hiddens), _side_by_side(model, afters))


# --- states as rows -------------------------------------------------------------------------------------------------


def state_row(model: RecurrentLanguageModel, state: State, row: int) -> State:
    """The state of one row of a batch."""
    pairs = zip(state, batch_dimensions(model.initial_state), strict=True)
    return tuple(part if d is None else part.narrow(d, row, 1).clone() for part, d in pairs)


def _side_by_side(model: RecurrentLanguageModel, states: list[State]) -> State:
    """States as the rows of one batch; of a part without rows the last one."""
    pairs = zip(zip(*states, strict=True), batch_dimensions(model.initial_state), strict=True)
    return tuple(parts[-1] if d is None else torch.cat(parts, d) for parts, d in pairs)


def input_vectors(model: RecurrentLanguageModel, ids: torch.Tensor) -> torch.Tensor:
    """The inputs of the lowest layer: embeddings or one-hot vectors, (...) -> (..., input_size)."""
    if model.embedding is not None:
        vectors: torch.Tensor = model.embedding(ids)
        return vectors
    return F.one_hot(ids, model.vocabulary_size).to(next(model.parameters()).dtype)
