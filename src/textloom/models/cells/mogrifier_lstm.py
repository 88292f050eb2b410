"""Mogrifier LSTM: Melis, Kocisky and Blunsom (2020), arXiv 1909.01792.

Before an LSTM reads its input x and its hidden state h, they gate each other in turns, for a number of rounds::

    x = 2 sigmoid(Q h + q) * x    in the first round, the third ...
    h = 2 sigmoid(R x + r) * h    in the second round, the fourth ...

Each round has weights of its own; with a rank they are products of two matrices. The biases q and r are those of the
authors' program, lamb; the paper's equations leave them out. So are the dropout of the recurrent state, its place
before the rounds, and the cap on the input gate, min(i, 1 - f). No product of the inputs can be computed ahead of the
recurrence, so this is a loop over time.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from textloom.config import MogrifierLSTMConfig
from textloom.models.cell import Cell, FastLayer
from textloom.models.dropout import draw_mask
from textloom.models.product import Product
from textloom.models.stacked import stacked
from textloom.models.state import State


class MogrifierLayer(Cell):
    """One layer; its state is (hidden, cell), computed in its own type, float32 in autocast too.

    Dropout of the recurrent state (Gal and Ghahramani 2016, arXiv 1512.05287) multiplies the hidden state with the same
    mask in every step that reads it. A mask is drawn for each row of each batch; the state that is carried to the
    next batch is the one before the mask.
    """

    output_rms = 0.25
    keeping_gate = "forget"

    def __init__(self, config: MogrifierLSTMConfig, input_size: int):
        super().__init__()
        assert isinstance(config.units, int)
        self.units, self.forget_bias, self.state_dropout = config.units, config.forget_bias, config.state_dropout
        self.capped_input_gate = config.capped_input_gate
        self.inputs = nn.Linear(input_size, 4 * config.units)
        self.recurrent = nn.Linear(config.units, 4 * config.units, bias=False)
        # sizes of the vector that a round reads and of the one that it gates, which the next round exchanges
        sizes = (config.units, input_size)
        self.rounds = nn.ModuleList(
            [Round(*(sizes if number % 2 == 0 else sizes[::-1]), config.rank) for number in range(config.rounds)]
        )

    def all_rounds(self) -> "list[Round]":
        """The rounds in their order: those at even places gate the input, the others the hidden state."""
        return list(self.rounds)  # type: ignore[arg-type]

    def initial_state(self, batch_size: int) -> State:
        """Zeros, (batch, units) each."""
        weight = self.recurrent.weight
        return weight.new_zeros(batch_size, self.units), weight.new_zeros(batch_size, self.units)

    def forward(self, vectors: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """(batch, time, input_size) -> (batch, time, units), and the state after the last token."""
        (hidden, cell), outputs = state, []
        mask = draw_mask(hidden, self.state_dropout) if self.training and self.state_dropout else None
        for entering in vectors.unbind(1):  # (batch, input_size)
            sums = self._gate_sums(entering, hidden if mask is None else hidden * mask).to(cell.dtype)
            enter, forget, candidate, leave = self._gates(sums)
            cell = forget * cell + enter * candidate
            hidden = leave * torch.tanh(cell)
            outputs.append(hidden)
        return torch.stack(outputs, dim=1), (hidden, cell)

    def gate_values(self, vectors: torch.Tensor, before: State, after: State) -> dict[str, list[torch.Tensor]]:
        """Input, forget and output gate, (batch, units) each; without those of the rounds, which are from 0 to 2."""
        enter, forget, _, leave = self._gates(self._gate_sums(vectors, before[0]))
        return {"input": [enter], "forget": [forget], "output": [leave]}

    def _gate_sums(self, entering: torch.Tensor, read: torch.Tensor) -> torch.Tensor:
        """The inputs of the gates after the rounds, (batch, 4 * units), from an input and a hidden state."""
        for number, gate in enumerate(self.all_rounds()):
            if number % 2 == 0:
                entering = entering * gate(read)
            else:
                read = read * gate(entering)
        gates: torch.Tensor = self.inputs(entering) + self.recurrent(read)
        return gates

    def _gates(self, sums: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Input gate, forget gate, candidate and output gate, (batch, units) each, from their inputs."""
        enter, forget, candidate, leave = sums.chunk(4, dim=1)
        enter, forget = torch.sigmoid(enter), torch.sigmoid(forget)
        if self.capped_input_gate:
            enter = torch.minimum(enter, 1 - forget)
        return enter, forget, torch.tanh(candidate), torch.sigmoid(leave)

    def init_weights(self, kind: Literal["scaled", "keras"], input_norm: float) -> None:
        """Draw the weights as for ``nn.LSTM``; outputs of the rounds have unit variance if their inputs have."""
        for number, gate in enumerate(self.all_rounds()):
            gate.init_weights(self.units**0.5 if number % 2 == 0 else input_norm)
        if kind == "scaled":
            nn.init.normal_(self.inputs.weight, std=1 / input_norm)
        else:
            nn.init.xavier_uniform_(self.inputs.weight)
        for gates in torch.split(self.recurrent.weight.detach(), self.units):  # one square matrix for each gate
            nn.init.orthogonal_(gates)
        nn.init.zeros_(self.inputs.bias)
        nn.init.constant_(self.inputs.bias.detach()[self.units : 2 * self.units], self.forget_bias)

    def fast_layers(self, rows: int) -> Sequence[FastLayer]:
        """This layer, with preallocated buffers."""
        return [FastMogrifierLayer(self, rows)]

    def fast_states(self, state: State) -> Sequence[State]:
        """The state as it is."""
        return [state]


class Round(nn.Module):
    """2 sigmoid(W v + b), (batch, read) -> (batch, gated); W is a product of two matrices if there is a rank."""

    def __init__(self, read: int, gated: int, rank: int | None):
        super().__init__()
        self.low = None if rank is None else nn.Linear(read, rank, bias=False)
        self.weights = nn.Linear(read if rank is None else rank, gated)

    def forward(self, vector: torch.Tensor) -> torch.Tensor:
        """The gates, from 0 to 2."""
        return 2 * torch.sigmoid(self.weights(vector if self.low is None else self.low(vector)))

    def init_weights(self, norm: float) -> None:
        """Draw the weights for inputs of this norm."""
        nn.init.zeros_(self.weights.bias)
        nn.init.normal_(self.weights.weight, std=1 / norm if self.low is None else self.weights.in_features**-0.5)
        if self.low is not None:
            nn.init.normal_(self.low.weight, std=1 / norm)


MogrifierLSTM = stacked(MogrifierLayer)


class FastMogrifierLayer(FastLayer):
    """One layer in generation. The rounds read the input itself, so ``weight_ih`` is the identity."""

    def __init__(self, cell: MogrifierLayer, rows: int):
        weight, units = cell.inputs.weight.detach(), cell.units
        self.weight_ih, self.bias_ih = torch.eye(weight.shape[1]).to(weight), weight.new_zeros(weight.shape[1])
        self.weight_hh = _transposed(cell.recurrent.weight)
        inputs, bias = _transposed(weight), cell.inputs.bias.detach().clone()
        for doubled in (self.weight_hh, inputs, bias):  # tanh(x) = 2 sigmoid(2x) - 1, as for nn.LSTM
            doubled[..., 2 * units : 3 * units] *= 2
        self._of_input, self._of_hidden = Product(inputs, rows, bias), Product(self.weight_hh, rows)
        self.gates = weight.new_empty(rows, weight.shape[1])
        self.hidden, self.cell, self._read = weight.new_zeros(3, rows, units).unbind()
        self.states = [self.hidden, self.cell]
        self._products = weight.new_empty(rows, 4 * units)
        self._parts = self._products.chunk(4, dim=1)
        self._rounds = [_FastRound(gate, rows) for gate in cell.all_rounds()]
        self._cap = weight.new_empty(rows, units) if cell.capped_input_gate else None

    def step(self) -> None:
        """Update hidden state and cell."""
        entering, read = self.gates, self._read.copy_(self.hidden)
        for number, gate in enumerate(self._rounds):
            if number % 2 == 0:
                gate(read, entering)
            else:
                gate(entering, read)
        self._of_hidden.add_to(self._of_input(entering, out=self._products), read).sigmoid_()
        enter, forget, candidate, leave = self._parts
        if self._cap is not None:
            torch.minimum(enter, torch.neg(forget, out=self._cap).add_(1), out=enter)
        self.cell.mul_(forget).addcmul_(enter, candidate, value=2).sub_(enter)
        torch.tanh(self.cell, out=self.hidden)
        self.hidden.mul_(leave)


class _FastRound:
    """A round with preallocated buffers: 2 sigmoid(x) = 1 + tanh(x / 2), so that the weights are halved once."""

    def __init__(self, gate: Round, rows: int):
        self.low = None if gate.low is None else _transposed(gate.low.weight)
        self.weight, self.bias = _transposed(gate.weights.weight) / 2, gate.weights.bias.detach() / 2
        self.mask = self.weight.new_empty(rows, self.weight.shape[1])
        self.between = self.weight.new_empty(rows, self.weight.shape[0])

    def __call__(self, read: torch.Tensor, gated: torch.Tensor) -> None:
        """Multiply ``gated`` in place."""
        if self.low is not None:
            read = torch.mm(read, self.low, out=self.between)
        torch.addmm(self.bias, read, self.weight, out=self.mask).tanh_()
        gated.addcmul_(gated, self.mask)


def _transposed(weight: torch.Tensor) -> torch.Tensor:
    return weight.detach().t().clone(memory_format=torch.contiguous_format)
