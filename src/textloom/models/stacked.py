"""Layers of a cell that is written for one layer: one above the other, with dropout between them."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Literal

import torch
from torch import nn

from textloom.config import ModelConfig
from textloom.models.cell import Cell, FastLayer, LayerPart
from textloom.models.dropout import build_dropout
from textloom.models.state import State


class Stacked(Cell):
    """Cells of one layer each, every one reading the hidden states of the one below; their states in one tuple.

    With ``config.residual`` a layer adds its hidden states to what the layer below passed on (He et al. 2016, arXiv
    1512.03385), so that the last sum holds those of all layers; the embedding belongs to the sum if it has the same
    size. With ``config.layer_norm`` every layer but the first, and the softmax, read normalized vectors (Ba et al.
    2016, arXiv 1607.06450); what is passed on is not normalized. With ``config.skip_connections`` the softmax reads the
    sum of the hidden states of all layers, and a layer those of the one below alone (Graves 2013, arXiv 1308.0850,
    section 2, without a matrix for each layer, as in lamb, the program of Melis et al.).
    """

    def __init__(self, layers: Sequence[Cell], config: ModelConfig):
        super().__init__()
        assert isinstance(config.units, int)
        self.units = config.units  # of all layers but the last, which may have another size
        self.layers = nn.ModuleList(layers)
        self.dropout = build_dropout(config.layer_dropout, config.locked_dropout)
        self.keeping_gate = layers[0].keeping_gate
        self.residual, self.skip_connections = config.residual, config.skip_connections
        self.adds_embedding = config.residual and config.embedding_dim == _outputs(config)[0]
        norms = [nn.LayerNorm(size) for size in _outputs(config)] if config.layer_norm else []
        self.norms = nn.ModuleList(norms)  # after each layer

    def forward(self, vectors: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """(batch, time, input_size) -> (batch, time, units) of the last layer, and the state after the last token."""
        hidden, after = self.layers[0](vectors, self._state_of(0, state))
        return self._upper_layers(self._passed_on(0, vectors, hidden), after, state)

    def forward_one_hot(self, ids: torch.Tensor, size: int, state: State) -> tuple[torch.Tensor, State]:
        """Call ``forward_one_hot`` of the lowest layer."""
        hidden, after = self._cells()[0].forward_one_hot(ids, size, self._state_of(0, state))
        return self._upper_layers(hidden, after, state)

    def initial_state(self, batch_size: int) -> State:
        """The states of the layers, from the lowest on; each has equally many parts."""
        return tuple(part for layer in self._cells() for part in layer.initial_state(batch_size))

    def layer_parts(self, state: State) -> list[LayerPart]:
        """The parts of each layer's own state."""
        parts = len(state) // len(self.layers)
        return [
            LayerPart(one.name, number, number * parts + one.part, one.row)
            for number, layer in enumerate(self._cells())
            for one in layer.layer_parts(self._state_of(number, state))
        ]

    def init_weights(self, kind: Literal["scaled", "keras"], input_norm: float) -> None:
        """Draw the weights of each layer; the norm of its inputs follows from the ``output_rms`` of the layer below."""
        for layer in self._cells():
            layer.init_weights(kind, input_norm)
            input_norm = (1.0 if self.norms else layer.output_rms) * self.units**0.5

    def gate_values(self, vectors: torch.Tensor, before: State, after: State) -> dict[str, list[torch.Tensor]]:
        """The gates of all layers; each layer reads the outputs of the one below."""
        found: dict[str, list[torch.Tensor]] = {}
        below = vectors
        for number, layer in enumerate(self._cells()):
            own = self._state_of(number, before), self._state_of(number, after)
            for gate, values in layer.gate_values(vectors, *own).items():
                found.setdefault(gate, []).extend(values)
            if self.keeping_gate is not None and layer is not self.layers[-1]:
                below = self._passed_on(number, below, layer(vectors[:, None], own[0])[0][:, 0])
                vectors = self._normalized(below, number)
        return found

    def fast_layers(self, rows: int) -> Sequence[FastLayer] | None:
        """The fast layers of all layers; None if one has none, or if there are operations between the layers."""
        if self.residual or self.skip_connections or self.norms:
            return None
        prepared = [layer.fast_layers(rows) for layer in self._cells()]
        return [one for layers in prepared for one in layers or ()] if all(prepared) else None

    def fast_states(self, state: State) -> Sequence[State] | None:
        """The states of all fast layers; None if a layer cannot split its own."""
        cells = self._cells()
        parts = [layer.fast_states(self._state_of(number, state)) for number, layer in enumerate(cells)]
        return [one for states in parts for one in states or ()] if all(parts) else None

    def _upper_layers(self, hidden: torch.Tensor, after: State, state: State) -> tuple[torch.Tensor, State]:
        """What the softmax reads and the state after, from the hidden states of the lowest layer."""
        output = hidden
        for number, layer in enumerate(self._cells()[1:], start=1):
            read = self.dropout(self._normalized(hidden, number - 1))
            found, layer_state = layer(read, self._state_of(number, state))
            hidden = self._passed_on(number, hidden, found)
            output = output + hidden if self.skip_connections else hidden
            after = (*after, *layer_state)
        return self._normalized(output, len(self.layers) - 1), after

    def _passed_on(self, number: int, below: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
        """Hidden states of a layer, added to what the layer below passed on if the sizes allow it."""
        adds = self.residual and found.shape == below.shape if number else self.adds_embedding
        return below + found if adds else found

    def _normalized(self, hidden: torch.Tensor, number: int) -> torch.Tensor:
        """The output of the layer with this number, normalized for the next one."""
        return self.norms[number](hidden) if self.norms else hidden

    def _state_of(self, number: int, state: State) -> State:
        parts = len(state) // len(self.layers)
        return state[number * parts : (number + 1) * parts]

    def _cells(self) -> list[Cell]:
        return list(self.layers)  # type: ignore[arg-type]


def _outputs(config: ModelConfig) -> list[int]:
    """Length of the hidden states of each layer."""
    assert isinstance(config.units, int)
    return [config.units] * (config.layers - 1) + [config.output_units]


def stacked(layer: type[Cell]) -> Callable[[ModelConfig, int], Stacked]:
    """A cell with ``config.layers`` layers, from a class for one layer that is built as ``layer(config, input_size)``.

    Dropout of ``config.layer_dropout`` acts between layers.
    """

    @wraps(layer, updated=())
    def build(config: ModelConfig, input_size: int) -> Stacked:
        assert isinstance(config.units, int)
        sizes = [input_size] + [config.units] * (config.layers - 1)
        return Stacked([layer(config, size) for size in sizes], config)

    return build
