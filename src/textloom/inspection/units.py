"""The units of a model: the numbers in its state and its outputs, with names, after every token of a text."""

from collections.abc import Iterator, Sequence
from typing import cast

import torch

from textloom.inspection.reading import Steps, batch_dimensions
from textloom.models.cell import Cell
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.models.stacked import Stacked
from textloom.models.state import State
from textloom.models.torch_layers import TorchCell

LARGEST_PART = 4096
"""Numbers in a part of the state; a larger one, such as the matrix memory of an mLSTM, is left out."""


class Units:
    """Selects and names the units of a model.

    They are those of every part of the state, by layers, and the hidden states that the softmax reads where those are
    no part of the state.
    """

    def __init__(self, model: RecurrentLanguageModel, most: int):
        """Select at most ``most`` units; whole parts that are too many are left out, and named in ``left_out``."""
        self._dimensions = batch_dimensions(model)
        self.names: list[str] = []
        self.left_out: list[str] = []
        self._chosen: list[tuple[int, int | None]] = []  # part of the state, and its layer if the part has all layers
        state = model.initial_state(1)
        with torch.no_grad():
            hidden, after = model(torch.zeros(1, 1, dtype=torch.long), state)
        outputs = hidden[0, 0]
        is_state = False
        for name, part, layer, values in self._parts(model, after):
            if not self._fits(name, len(values), most):
                continue
            is_state |= values.shape == outputs.shape and torch.equal(values, outputs)
            self._chosen.append((part, layer))
            self.names += [f"{name}, unit {unit}" for unit in range(len(values))]
        self._outputs = not is_state and self._fits("output", len(outputs), most)
        if self._outputs:
            self.names += [f"output, unit {unit}" for unit in range(len(outputs))]

    def of(self, steps: Steps) -> torch.Tensor:
        """The units after each of some steps, (rows, units) float32."""
        found = []
        for part, layer in self._chosen:
            rows = steps.after[part].movedim(self._dimensions[part], 0)  # (rows, ...)
            found.append((rows if layer is None else rows[:, layer]).flatten(1).float())
        return torch.cat([*found, *([steps.hidden.float()] if self._outputs else [])], dim=1)

    def _parts(
        self, model: RecurrentLanguageModel, state: State
    ) -> Iterator[tuple[str, int, int | None, torch.Tensor]]:
        """Name, part of the state, layer and values of one row, layer by layer where a part holds all of them."""
        cell = model.recurrence
        layers = cell.num_layers if isinstance(cell, TorchCell) else 1
        each = len(state) // len(cell.layers) if isinstance(cell, Stacked) else len(state)  # parts of a layer
        for number, (name, part) in enumerate(zip(model.state_names, state, strict=True)):
            one = part.movedim(self._dimensions[number], 0)[0]
            if not one.is_floating_point() or not one.numel():
                continue
            if isinstance(cell, TorchCell):
                for layer in range(layers):
                    yield _named(name, layer, layers), number, layer, one[layer]
            else:
                count = len(state) // each
                if isinstance(cell, Stacked):  # its layers know the names
                    below = cast(Cell, cell.layers[number // each])
                    name = (below.state_names or _numbered(each))[number % each]
                yield _named(name, number // each, count), number, None, one.flatten()

    def _fits(self, name: str, size: int, most: int) -> bool:
        if size <= LARGEST_PART and len(self.names) + size <= most:
            return True
        self.left_out.append(f"{name} ({size:,} numbers)")
        return False


def _numbered(count: int) -> Sequence[str]:
    return ["state"] if count == 1 else [f"state {number}" for number in range(1, count + 1)]


def _named(name: str, layer: int, layers: int) -> str:
    return f"{name}, layer {layer + 1}" if layers > 1 else name
