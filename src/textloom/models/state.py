"""The recurrent state: a tuple of tensors that is passed to a model and returned by it."""

import torch

State = tuple[torch.Tensor, ...]
"""For the LSTM (hidden, cell), for GRU and RNN (hidden,), each (layers, batch, units); other cells have their own."""


def detach(state: State) -> State:
    """The same state, cut from the graph that computed it."""
    return tuple(part.detach() for part in state)
