"""Gated recurrent unit: Cho et al. (2014), arXiv 1406.1078, with the reset gate after the product, as in cuDNN."""

import torch
from torch import nn
from torch.nn import functional as F

from textloom.models.product import Product
from textloom.models.state import State
from textloom.models.torch_layers import TorchCell, TorchFastLayer


class FastGRULayer(TorchFastLayer):
    """One layer in generation."""

    def __init__(self, cell: TorchCell, number: int, rows: int):
        super().__init__(cell, number, rows)
        units = self.hidden.shape[1]
        self.product = Product(self.weight_hh, rows, self.bias_hh)
        self.recurrent = torch.empty_like(self.gates)
        self.reset, self.update, self.new = self.gates.chunk(3, dim=1)
        self.sigmoids, self.recurrent_sigmoids = self.gates[:, : 2 * units], self.recurrent[:, : 2 * units]
        self.recurrent_new = self.recurrent[:, 2 * units :]

    def step(self) -> None:
        """Update the hidden state."""
        self.product(self.hidden, out=self.recurrent)
        self.sigmoids.add_(self.recurrent_sigmoids).sigmoid_()
        self.new.addcmul_(self.reset, self.recurrent_new).tanh_()
        torch.lerp(self.new, self.hidden, self.update, out=self.hidden)


class GRU(TorchCell, nn.GRU):  # type: ignore[misc]  # the state is a tuple in every cell
    """``nn.GRU``; the state is (hidden,)."""

    keeping_gate = "update"
    output_rms = 0.45
    fast_layer = FastGRULayer

    def compute_layers(
        self, vectors: torch.Tensor, state: State, weights: list[torch.Tensor]
    ) -> tuple[torch.Tensor, State]:
        """The outputs of the last of the layers with these weights, and their state; without dropout."""
        hidden, after = torch.gru(vectors, state[0], weights, True, len(weights) // 4, 0.0, self.training, False, True)
        return hidden, (after,)

    def one_step(self, gates: torch.Tensor, state: State, weight_hh: torch.Tensor, bias_hh: torch.Tensor) -> State:
        """The state of one layer after a step."""
        (hidden,) = state
        reset_in, update_in, new_in = gates.chunk(3, dim=1)
        reset_hidden, update_hidden, new_hidden = F.linear(hidden, weight_hh, bias_hh).chunk(3, dim=1)
        update = torch.sigmoid(update_in + update_hidden)
        new = torch.tanh(new_in + torch.sigmoid(reset_in + reset_hidden) * new_hidden)
        return (update * hidden + (1 - update) * new,)

    def gate_values(self, vectors: torch.Tensor, before: State, after: State) -> dict[str, list[torch.Tensor]]:
        """Reset and update gate of each layer in one step, (batch, units) each; the update gate keeps the state."""
        chunks = [sums.sigmoid().chunk(3, dim=1) for sums in self.gate_sums(vectors, before, after)]
        return {"reset": [layer[0] for layer in chunks], "update": [layer[1] for layer in chunks]}
