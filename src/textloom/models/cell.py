"""The interface of a cell."""

from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from textloom.models.state import State


class FastLayer:
    """One layer in generation: prepared weights, and preallocated buffers that each step updates in place.

    The caller writes the input product to ``gates`` before it calls ``step``.
    """

    weight_ih: torch.Tensor
    """(inputs, gates)."""
    weight_hh: torch.Tensor
    """(units, gates)."""
    bias_ih: torch.Tensor
    """(gates,)."""
    gates: torch.Tensor
    """(rows, gates)."""
    hidden: torch.Tensor
    """(rows, units): what the layer gives to the next one; a part of the state."""
    states: list[torch.Tensor]
    """All parts of the state, each (rows, units)."""

    def restart(self, window: int, position: torch.Tensor) -> None:
        """Set the state of one of ``window`` equal blocks of rows to zero."""
        for state in self.states:
            state.view(window, -1).index_fill_(0, position, 0.0)

    def select(self, rows: torch.Tensor) -> None:
        """Give row k the state of row ``rows[k]``, for all rows."""
        for state in self.states:
            state.copy_(state.index_select(0, rows))

    def step(self) -> None:
        """Update the state."""
        raise NotImplementedError


class LayerPart(NamedTuple):
    """A part of the state of one layer."""

    name: str
    layer: int
    part: int
    """Index of the tensor in the state of the cell."""
    row: int | None
    """Index of the layer along the first dimension of the tensor besides the batch; None if it has only this layer."""


class Cell(nn.Module):
    """Base class of the recurrence of a language model: all its layers.

    A cell is constructed as ``cell(config, input_size)`` and has ``config.layers`` layers of ``config.units`` units; if
    the last one is of another size, its config class overrides ``output_units`` and ``with_units``.
    It implements ``forward`` and ``initial_state``; the other methods have defaults that work for any cell.
    """

    state_names: ClassVar[tuple[str, ...]] = ()
    """Names of the parts of the state in an ONNX graph; by default state_0, state_1 ..."""
    attention_multiplications: int = 0
    """Multiplications for a token in products of activations with the state, as in attention."""

    output_rms: ClassVar[float] = 1.0
    """Root mean square of the outputs of a layer with initial weights: what the next layer reads."""
    keeping_gate: str | None = None
    """The gate that keeps the state where it is 1 and replaces it where it is 0; None if ``gate_values`` gives none."""

    def forward(self, vectors: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """(batch, time, input_size) -> hidden states of the last layer, (batch, time, units), and the state after."""
        raise NotImplementedError

    def initial_state(self, batch_size: int) -> State:
        """The state at the beginning of a text, on the device of the weights."""
        raise NotImplementedError

    def layer_parts(self, state: State) -> list[LayerPart]:
        """The parts of a state by name and layer; by default all of them are of one layer."""
        names = self.state_names or numbered("state", len(state))
        return [LayerPart(name, 0, number, None) for number, name in enumerate(names)]

    def forward_one_hot(self, ids: torch.Tensor, size: int, state: State) -> tuple[torch.Tensor, State]:
        """``forward`` of one-hot vectors of length ``size``, given as ids (batch, time); may avoid building them."""
        found: tuple[torch.Tensor, State] = self(F.one_hot(ids, size).to(torch.get_default_dtype()), state)
        return found

    def init_weights(self, kind: Literal["scaled", "keras"], input_norm: float) -> None:
        """Draw the initial weights for inputs of norm ``input_norm``; by default those of the constructor stay."""

    def gate_values(self, vectors: torch.Tensor, before: State, after: State) -> dict[str, list[torch.Tensor]]:
        """The gates in one step, from 0 to 1, by their names: (batch, units) for each layer; empty for a cell without.

        ``vectors`` (batch, input_size) are what the lowest layer reads, ``before`` and ``after`` the states around it.
        """
        return {}

    def fast_layers(self, rows: int) -> Sequence[FastLayer] | None:
        """The layers for generation, with the state of ``rows`` texts; None to generate by ``forward``."""
        return None

    def fast_states(self, state: State) -> Sequence[State] | None:
        """Split a state of ``forward`` into those of the fast layers, each with its parts in the order of ``states``.

        Each part is (rows, units). None if it cannot be split: a text is then continued from a state by ``forward``.
        """
        return None


def numbered(name: str, count: int) -> Sequence[str]:
    """Names of parts that have none: the name itself if there is one part, else "name 1", "name 2" and so on."""
    return [name] if count == 1 else [f"{name} {number}" for number in range(1, count + 1)]
