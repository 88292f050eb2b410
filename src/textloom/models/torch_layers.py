"""Base class of the cells made of ``nn.LSTM``, ``nn.GRU`` and ``nn.RNN``: weights, one-hot input, prepared steps."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import nn
from torch.nn import functional as F

from textloom.config import ModelConfig
from textloom.models.cell import Cell, FastLayer, LayerPart
from textloom.models.dropout import build_dropout
from textloom.models.product import transposed
from textloom.models.state import State


class TorchCell(Cell, nn.RNNBase):
    """A cell whose layers are one of torch's; its parameters have torch's names, ``weight_ih_l0`` and so on."""

    state_names: ClassVar[tuple[str, ...]] = ("hidden",)
    fast_layer: ClassVar[type["TorchFastLayer"]]

    def __init__(self, config: ModelConfig, input_size: int):
        assert isinstance(config.units, int)
        super().__init__(  # type: ignore[call-arg]  # of nn.LSTM, nn.GRU or nn.RNN
            input_size=input_size,
            hidden_size=config.units,
            num_layers=config.layers,
            dropout=config.layer_dropout,
            batch_first=True,
        )
        self.between_layers = build_dropout(config.layer_dropout, config.locked_dropout)

    def initial_state(self, batch_size: int) -> State:
        """Zeros, each part (layers, batch, units)."""
        shape = (self.num_layers, batch_size, self.hidden_size)
        return tuple(torch.zeros(shape, device=next(self.parameters()).device) for _ in self.state_names)

    def layer_parts(self, state: State) -> list[LayerPart]:
        """Each part holds all layers."""
        return [
            LayerPart(name, layer, number, layer)
            for number, name in enumerate(self.state_names)
            for layer in range(self.num_layers)
        ]

    def forward(self, vectors: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """(batch, time, input_size) -> (batch, time, units), and the state after the last token.

        Dropout between layers is not left to cuDNN: its random state can neither be set nor saved
        (pytorch/pytorch#104697), so that a training on a GPU could not be resumed exactly. A CPU draws the same masks
        in both ways.
        """
        if not (self.training and self.dropout and self.num_layers > 1):
            weights = [weight for layer in range(self.num_layers) for weight in self.layer_weights(layer)]
            return self.compute_layers(vectors, state, weights)
        after: list[State] = []
        for layer in range(self.num_layers):
            if layer:
                vectors = self.between_layers(vectors)
            before = tuple(part[layer : layer + 1] for part in state)
            vectors, layer_state = self.compute_layers(vectors, before, self.layer_weights(layer))
            after.append(layer_state)
        return vectors, tuple(torch.cat(parts) for parts in zip(*after, strict=True))

    def layer_weights(self, layer: int) -> list[torch.Tensor]:
        """The weights that a layer is computed with: weight_ih, weight_hh, bias_ih, bias_hh."""
        return list(self.all_weights[layer])

    def compute_layers(
        self, vectors: torch.Tensor, state: State, weights: list[torch.Tensor]
    ) -> tuple[torch.Tensor, State]:
        """The outputs of the last of the layers with these weights, and their state; without dropout."""
        raise NotImplementedError

    def one_step(self, gates: torch.Tensor, state: State, weight_hh: torch.Tensor, bias_hh: torch.Tensor) -> State:
        """The state of one layer after a step; ``gates`` are the products of the inputs."""
        raise NotImplementedError

    def gate_sums(self, vectors: torch.Tensor, before: State, after: State) -> list[torch.Tensor]:
        """The inputs of the gates of each layer in one step, (batch, gates * units); see ``Cell.gate_values``."""
        sums = []
        for layer, hidden in enumerate(before[0]):
            weight_ih, weight_hh, bias_ih, bias_hh = self.layer_weights(layer)
            sums.append(F.linear(vectors, weight_ih, bias_ih) + F.linear(hidden, weight_hh, bias_hh))
            vectors = after[0][layer]  # an upper layer reads the new hidden states of the one below
        return sums

    def forward_one_hot(self, ids: torch.Tensor, size: int, state: State) -> tuple[torch.Tensor, State]:
        """A one-hot vector times a matrix is one of its columns, so the columns are looked up."""
        after: list[State] = []
        hidden = torch.empty(0)
        for layer in range(self.num_layers):
            weight_ih, weight_hh, bias_ih, bias_hh = self.layer_weights(layer)
            if layer == 0:
                projected = F.embedding(ids, weight_ih.t()) + bias_ih  # (batch, time, gates * units)
            else:
                projected = F.linear(self.between_layers(hidden), weight_ih, bias_ih)
            layer_state = tuple(part[layer] for part in state)  # each (batch, units)
            outputs = []
            for gates in projected.unbind(1):
                layer_state = self.one_step(gates, layer_state, weight_hh, bias_hh)
                outputs.append(layer_state[0])
            hidden = torch.stack(outputs, dim=1)  # (batch, time, units)
            after.append(layer_state)
        return hidden, tuple(torch.stack(parts) for parts in zip(*after, strict=True))

    def init_weights(self, kind: Literal["scaled", "keras"], input_norm: float) -> None:
        """Draw all weights; recurrent matrices are orthogonal, one for each gate, and biases zero, in both kinds.

        ``scaled`` gives every gate an input of unit variance, the rule of LeCun et al. (1998), "Efficient BackProp",
        section 4.6, for the size that its inputs really have: vectors of norm ``input_norm`` in the first layer, and
        the small outputs of the layer below in the others. ``keras`` draws input weights by Glorot's rule, which
        assumes unit variance everywhere: the outputs of a second layer are then so small that for several epochs it
        learns nothing but how frequent each token is.
        """
        upper_norm = self.output_rms * self.hidden_size**0.5
        for name, parameter in self.named_parameters():
            if name.startswith("weight_ih") and kind == "scaled":
                nn.init.normal_(parameter, std=1 / (input_norm if name.endswith("_l0") else upper_norm))
            elif name.startswith("weight_ih"):
                nn.init.xavier_uniform_(parameter)
            elif name.startswith("weight_hh"):
                for gate in torch.split(parameter.detach(), self.hidden_size):  # one square matrix for each gate
                    nn.init.orthogonal_(gate)
            else:
                nn.init.zeros_(parameter)

    def fast_layers(self, rows: int) -> Sequence[FastLayer]:
        """Every layer, with weights laid out as a step multiplies them."""
        return [self.fast_layer(self, number, rows) for number in range(self.num_layers)]

    def fast_states(self, state: State) -> Sequence[State]:
        """Split each part, (layers, rows, units), by layers."""
        return [tuple(part[number] for part in state) for number in range(self.num_layers)]


class TorchFastLayer(FastLayer):
    """Copies of the weights of one of torch's layers, and buffers for the state."""

    def __init__(self, cell: TorchCell, number: int, rows: int):
        def prepared(name: str) -> torch.Tensor:
            """A copy of one of torch's parameters, with the gates along the last dimension."""
            return transposed(getattr(cell, f"{name}_l{number}").detach(), rows)

        self.weight_ih, self.weight_hh = prepared("weight_ih"), prepared("weight_hh")
        self.bias_ih, self.bias_hh = prepared("bias_ih"), prepared("bias_hh")
        self.hidden = self.weight_hh.new_zeros(rows, cell.hidden_size)
        self.states = [self.hidden]
        self.gates = self.weight_hh.new_empty(rows, self.weight_hh.shape[1])
