"""Base class of minGRU and minLSTM: their gates read the input alone, so that a sequence is computed as one scan."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import nn
from torch.nn import functional as F

from textloom.config import ModelConfig
from textloom.models.cell import Cell, FastLayer
from textloom.models.scan import scan
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

    @staticmethod
    def replaced(gates: Sequence[torch.Tensor]) -> torch.Tensor:
        """``z``, from 0 to 1: the share of the hidden state that the candidate replaces; of all gates but the last."""
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
        *gates, _ = self.parts(self.inputs(vectors))
        named = {name: [gate.sigmoid()] for name, gate in zip(self.gate_names, gates, strict=True)}
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
        *gates, candidate = self.parts(products.to(hidden.dtype))
        share, new = self.replaced(gates), positive(candidate)
        if products.shape[1] == 1:
            outputs = torch.lerp(hidden[:, None], new, share)
        else:
            outputs = scan(1 - share, share * new, hidden)  # (batch, time, units)
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
        *self._gates, self._candidate = cell.parts(self.gates)
        self._replaced = cell.replaced

    def step(self) -> None:
        """Update the hidden state."""
        torch.lerp(self.hidden, positive(self._candidate), self._replaced(self._gates), out=self.hidden)


def positive(candidate: torch.Tensor) -> torch.Tensor:
    """``g`` of the paper's appendix B.3: x + 0.5 from 0 on, sigmoid(x) below."""
    return F.relu(candidate) + torch.sigmoid(candidate.clamp(max=0))
