"""The recurrent state: a tuple of tensors that is passed to a model and returned by it."""

from collections.abc import Callable, Sequence

import torch

State = tuple[torch.Tensor, ...]
"""For the LSTM (hidden, cell), for GRU and RNN (hidden,), each (layers, batch, units); other cells have their own."""


def detach(state: State) -> State:
    """The same state, detached from the graph that computed it."""
    return tuple(part.detach() for part in state)


def batch_dimensions(initial_state: Callable[[int], State]) -> list[int | None]:
    """The batch dimension of each part of a state; None for a part without one.

    It is found by comparing the initial states of one and of two texts.
    """
    found: list[int | None] = []
    for one, two in zip(initial_state(1), initial_state(2), strict=True):
        sizes = enumerate(zip(one.shape, two.shape, strict=True))
        found.append(next((dimension for dimension, (a, b) in sizes if a != b), None))
    return found


def expanded(state: State, dimensions: Sequence[int | None], texts: int) -> State:
    """Repeat the state of one text for several."""
    pairs = zip(state, dimensions, strict=True)
    return tuple(part if d is None else part.repeat_interleave(texts, dim=d) for part, d in pairs)
