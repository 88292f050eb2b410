"""The recurrent state: a plain tuple, owned by whoever runs the batches."""

import torch

State = tuple[torch.Tensor, ...]
"""Each part (layers, batch, units): (hidden, cell) for the LSTM, (hidden,) for the others."""


def detach(state: State) -> State:
    """The same state, cut from the graph that computed it."""
    return tuple(part.detach() for part in state)
