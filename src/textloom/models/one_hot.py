"""One-hot input as an index: a one-hot vector times a matrix is one of its columns, so the columns are looked up.

For large vocabularies, where a one-hot tensor would be (batch, time, vocabulary). The same parameters as torch.nn's.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from textloom.models.state import State

Step = Callable[[torch.Tensor, State, torch.Tensor, torch.Tensor], State]


def index_forward(recurrence: nn.RNNBase, inputs: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
    """What ``recurrence`` gives for one-hot vectors, from the indices: (batch, time) -> (batch, time, units)."""
    step = STEPS[type(recurrence)]
    after: list[State] = []
    hidden = torch.empty(0)
    for layer in range(recurrence.num_layers):
        weight_ih, weight_hh, bias_ih, bias_hh = (
            getattr(recurrence, f"{kind}_l{layer}") for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        if layer == 0:
            projected = F.embedding(inputs, weight_ih.t()) + bias_ih  # (batch, time, gates * units)
        else:
            hidden = F.dropout(hidden, recurrence.dropout, recurrence.training)
            projected = F.linear(hidden, weight_ih, bias_ih)
        layer_state = tuple(part[layer] for part in state)  # each (batch, units)
        outputs = []
        for gates in projected.unbind(1):
            layer_state = step(gates, layer_state, weight_hh, bias_hh)
            outputs.append(layer_state[0])
        hidden = torch.stack(outputs, dim=1)  # (batch, time, units)
        after.append(layer_state)
    return hidden, tuple(torch.stack(parts) for parts in zip(*after, strict=True))


def _lstm_step(gates: torch.Tensor, state: State, weight_hh: torch.Tensor, bias_hh: torch.Tensor) -> State:
    hidden, cell = state
    enter, forget, candidate, leave = (gates + F.linear(hidden, weight_hh, bias_hh)).chunk(4, dim=1)
    cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(candidate)
    return torch.sigmoid(leave) * torch.tanh(cell), cell


def _gru_step(gates: torch.Tensor, state: State, weight_hh: torch.Tensor, bias_hh: torch.Tensor) -> State:
    (hidden,) = state
    reset_in, update_in, new_in = gates.chunk(3, dim=1)
    reset_hidden, update_hidden, new_hidden = F.linear(hidden, weight_hh, bias_hh).chunk(3, dim=1)
    update = torch.sigmoid(update_in + update_hidden)
    new = torch.tanh(new_in + torch.sigmoid(reset_in + reset_hidden) * new_hidden)
    return (update * hidden + (1 - update) * new,)


def _rnn_step(gates: torch.Tensor, state: State, weight_hh: torch.Tensor, bias_hh: torch.Tensor) -> State:
    return (torch.tanh(gates + F.linear(state[0], weight_hh, bias_hh)),)


STEPS: dict[type[nn.RNNBase], Step] = {nn.LSTM: _lstm_step, nn.GRU: _gru_step, nn.RNN: _rnn_step}
