"""Base class of minGRU and minLSTM: their gates read the input alone, so that all are known before the first step."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import nn
from torch.nn import functional as F

from textloom.config import ModelConfig
from textloom.models.cell import Cell, FastLayer
from textloom.models.recurrence import by_scan, by_steps, share_and_candidate
from textloom.models.state import State


class ScannedCell(Cell):
    """One layer, ``h[t] = (1 - z[t]) * h[t-1] + z[t] * g(candidate[t])``, whose state is (hidden,).

    ``z`` and the candidate are linear in the input and do not see the hidden state. The state is computed in its own
    type, float32 in autocast too.
    """

    keeping_gate = "keep"
    gate_names: ClassVar[tuple[str, ...]]
    """Names of the gates, linear functions of the input before their sigmoid; the candidate comes after them."""

    def __init__(self, config: ModelConfig, input_size: int):
        super().__init__()
        assert isinstance(config.units, int)
        self.units = config.units
        self.inputs = nn.Linear(input_size, (len(self.gate_names) + 1) * config.units)

    def replaced(self, gates: Sequence[torch.Tensor]) -> torch.Tensor:
        """``z`` of the gates after their sigmoid, as in ``recurrence.Gates``."""
        raise NotImplementedError

    def gate_gradients(self, gates: Sequence[torch.Tensor], logit: torch.Tensor) -> Sequence[torch.Tensor]:
        """Gradients of the gates before their sigmoid, as in ``recurrence.Gates``."""
        raise NotImplementedError

    def initial_state(self, batch_size: int) -> State:
        """Zeros, (batch, units)."""
        return (self.inputs.weight.new_zeros(batch_size, self.units),)

    def forward(self, vectors: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """(batch, time, input_size) -> (batch, time, units), and the state after the last token."""
        return self._recurrence(self.inputs(vectors), state)

    def forward_one_hot(self, ids: torch.Tensor, size: int, state: State) -> tuple[torch.Tensor, State]:
        """A one-hot vector times a matrix is one of its columns, so the columns are looked up."""
        return self._recurrence(F.embedding(ids, self.inputs.weight.t()) + self.inputs.bias, state)

    def init_weights(self, kind: Literal["scaled", "keras"], input_norm: float) -> None:
        """Draw the weights as ``TorchCell`` draws those of the inputs; biases are zero."""
        if kind == "scaled":
            nn.init.normal_(self.inputs.weight, std=1 / input_norm)
        else:
            nn.init.xavier_uniform_(self.inputs.weight)
        nn.init.zeros_(self.inputs.bias)

    def gate_values(self, vectors: torch.Tensor, before: State, after: State) -> dict[str, list[torch.Tensor]]:
        """The gates, (batch, units) each, and ``keep``, 1 - ``z``: the share of the hidden state that stays."""
        *products, _ = self.parts(self.inputs(vectors))
        gates = [one.sigmoid() for one in products]
        named = {name: [gate] for name, gate in zip(self.gate_names, gates, strict=True)}
        return named | {"keep": [1 - self.replaced(gates)]}

    def parts(self, products: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Gates before their sigmoid and candidate, (..., units) each, from the products of the inputs."""
        return products.chunk(len(self.gate_names) + 1, dim=-1)

    def fast_layers(self, rows: int) -> Sequence[FastLayer]:
        """This layer, with preallocated buffers."""
        return [FastScannedLayer(self, rows)]

    def fast_states(self, state: State) -> Sequence[State]:
        """The state as it is."""
        return [state]

    def _recurrence(self, products: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """Hidden states from the products of the inputs, (batch, time, gates * units)."""
        (hidden,) = state
        if products.shape[1] == 1:
            share, new = share_and_candidate(products.to(hidden.dtype), self.units, self)
            outputs = torch.lerp(hidden[:, None], new, share)
        else:
            recurrence = by_steps if products.device.type == "cpu" else by_scan
            outputs = recurrence(products, hidden, self)  # (batch, time, units)
        return outputs, (outputs[:, -1],)


class FastScannedLayer(FastLayer):
    """One layer in generation. There is no recurrent product: ``weight_hh`` is empty."""

    def __init__(self, cell: ScannedCell, rows: int):
        weight = cell.inputs.weight.detach()
        self.weight_ih = weight.t().clone(memory_format=torch.contiguous_format)
        self.weight_hh = weight.new_empty(0, weight.shape[0])
        self.bias_ih = cell.inputs.bias.detach().clone()
        self.gates = weight.new_empty(rows, weight.shape[0])
        self.hidden = weight.new_zeros(rows, cell.units)
        self.states = [self.hidden]
        self._cell = cell

    def step(self) -> None:
        """Update the hidden state."""
        share, new = share_and_candidate(self.gates, self._cell.units, self._cell)
        torch.lerp(self.hidden, new, share, out=self.hidden)
