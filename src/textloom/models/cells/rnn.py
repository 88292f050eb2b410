"""Elman network: Elman (1990), "Finding structure in time", with tanh."""

import torch
from torch import nn
from torch.nn import functional as F

from textloom.models.product import Product
from textloom.models.state import State
from textloom.models.torch_layers import TorchCell, TorchFastLayer


class FastRNNLayer(TorchFastLayer):
    """One layer in generation."""

    def __init__(self, cell: TorchCell, number: int, rows: int):
        super().__init__(cell, number, rows)
        self.bias_ih += self.bias_hh
        self.product = Product(self.weight_hh, rows)

    def step(self) -> None:
        """Update the hidden state."""
        self.product.add_to(self.gates, self.hidden)
        torch.tanh(self.gates, out=self.hidden)


class RNN(TorchCell, nn.RNN):  # type: ignore[misc]  # the state is a tuple in every cell
    """``nn.RNN``; the state is (hidden,)."""

    output_rms = 0.65
    fast_layer = FastRNNLayer

    def compute_layers(
        self, vectors: torch.Tensor, state: State, weights: list[torch.Tensor]
    ) -> tuple[torch.Tensor, State]:
        """The outputs of the last of the layers with these weights, and their state; without dropout."""
        layers = len(weights) // 4
        hidden, after = torch.rnn_tanh(vectors, state[0], weights, True, layers, 0.0, self.training, False, True)
        return hidden, (after,)

    def one_step(self, gates: torch.Tensor, state: State, weight_hh: torch.Tensor, bias_hh: torch.Tensor) -> State:
        """The state of one layer after a step."""
        return (torch.tanh(gates + F.linear(state[0], weight_hh, bias_hh)),)
