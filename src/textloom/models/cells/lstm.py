"""Long short-term memory: Gers, Schmidhuber and Cummins (2000), "Learning to forget", without peepholes."""

from typing import Literal, NamedTuple

import torch
from torch import nn

from textloom.config import LSTMConfig
from textloom.models.product import Product
from textloom.models.state import State
from textloom.models.torch_layers import TorchCell, TorchFastLayer


class _StateBuffers(NamedTuple):
    """Hidden state and cell in one tensor, so that their rows are selected in one call, and views of each."""

    both: torch.Tensor  # (2, rows, units)
    hidden: torch.Tensor  # (rows, units)
    cell: torch.Tensor  # (rows, units)


class FastLSTMLayer(TorchFastLayer):
    """One layer in generation."""

    def __init__(self, cell: TorchCell, number: int, rows: int):
        super().__init__(cell, number, rows)
        self.bias_ih += self.bias_hh
        buffers = self.hidden.new_zeros(2, 2, *self.hidden.shape)
        self._current, self._spare = (_StateBuffers(both, *both) for both in buffers)
        self._use(self._current)
        self.enter, self.forget, self.candidate, self.leave = self.gates.chunk(4, dim=1)
        # tanh(x) = 2 sigmoid(2x) - 1: one sigmoid for all gates takes two thirds of the time of one for each
        units = self.hidden.shape[1]
        for weights in (self.weight_ih, self.weight_hh, self.bias_ih):
            weights[..., 2 * units : 3 * units] *= 2
        self.product = Product(self.weight_hh, rows)

    def select(self, rows: torch.Tensor) -> None:
        """Give row k the state of row ``rows[k]``, for all rows.

        The rows are written to the spare buffers, which then become the current ones: nothing is copied back.
        """
        torch.index_select(self._current.both, 1, rows, out=self._spare.both)
        self._current, self._spare = self._spare, self._current
        self._use(self._current)

    def _use(self, buffers: _StateBuffers) -> None:
        """Make these buffers the state that ``step`` updates."""
        self.hidden, self.cell = buffers.hidden, buffers.cell
        self.states = [self.hidden, self.cell]

    def step(self) -> None:
        """Update hidden state and cell."""
        self.product.add_to(self.gates, self.hidden).sigmoid_()
        self.cell.mul_(self.forget).addcmul_(self.enter, self.candidate, value=2).sub_(self.enter)
        torch.tanh(self.cell, out=self.hidden)
        self.hidden.mul_(self.leave)


class LSTM(TorchCell, nn.LSTM):  # type: ignore[misc]  # the state is a tuple in every cell
    """``nn.LSTM``; the state is (hidden, cell)."""

    state_names = ("hidden", "cell")
    keeping_gate = "forget"
    output_rms = 0.25
    fast_layer = FastLSTMLayer

    def __init__(self, config: LSTMConfig, input_size: int):
        super().__init__(config, input_size)
        self.forget_bias = config.forget_bias

    def compute_layers(
        self, vectors: torch.Tensor, state: State, weights: list[torch.Tensor]
    ) -> tuple[torch.Tensor, State]:
        """The outputs of the last of the layers with these weights, and their state; without dropout."""
        hidden, *after = torch.lstm(vectors, state, weights, True, len(weights) // 4, 0.0, self.training, False, True)
        return hidden, tuple(after)

    def one_step(self, gates: torch.Tensor, state: State, weight_hh: torch.Tensor, bias_hh: torch.Tensor) -> State:
        """The state of one layer after a step."""
        hidden, cell = state
        enter, forget, candidate, leave = (gates + nn.functional.linear(hidden, weight_hh, bias_hh)).chunk(4, dim=1)
        cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(candidate)
        return torch.sigmoid(leave) * torch.tanh(cell), cell

    def gate_values(self, vectors: torch.Tensor, before: State, after: State) -> dict[str, list[torch.Tensor]]:
        """Input, forget and output gate of each layer in one step, (batch, units) each."""
        chunks = [sums.sigmoid().chunk(4, dim=1) for sums in self.gate_sums(vectors, before, after)]
        places = {"input": 0, "forget": 1, "output": 3}
        return {gate: [layer[place] for layer in chunks] for gate, place in places.items()}

    def init_weights(self, kind: Literal["scaled", "keras"], input_norm: float) -> None:
        """Draw the weights as for all of torch's layers, and set the bias of the forget gate."""
        super().init_weights(kind, input_norm)
        for name, parameter in self.named_parameters():
            if name.startswith("bias_ih"):
                nn.init.constant_(parameter.detach()[self.hidden_size : 2 * self.hidden_size], self.forget_bias)
