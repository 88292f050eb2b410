"""The units of a model: the numbers in its state and its outputs, with names, after every token of a text."""

from collections.abc import Iterator

import torch

from textloom.inspection.reading import Steps
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.models.state import State, batch_dimensions

LARGEST_PART = 4096
"""Numbers in a part of the state; a larger one, such as the matrix memory of an mLSTM, is left out."""


class Units:
    """Selects and names the units of a model.

    They are all numbers of the state, by layers, and the hidden states that the softmax reads if these are not part of
    the state.
    """

    def __init__(self, model: RecurrentLanguageModel, most: int):
        """Select at most ``most`` units; whole parts that are too many are left out, and named in ``left_out``."""
        self._dimensions = batch_dimensions(model.initial_state)
        self.names: list[str] = []
        self.left_out: list[str] = []
        self._chosen: list[tuple[int, int | None]] = []  # part of the state, and the row of the layer in it
        state = model.initial_state(1)
        with torch.no_grad():
            hidden, after = model(torch.zeros(1, 1, dtype=torch.long), state)
        outputs = hidden[0, 0]
        is_state = False
        for name, part, row, values in self._parts(model, after):
            if not self._fits(name, len(values), most):
                continue
            is_state |= values.shape == outputs.shape and torch.equal(values, outputs)
            self._chosen.append((part, row))
            self.names += [f"{name}, unit {unit}" for unit in range(len(values))]
        self._outputs = not is_state and self._fits("output", len(outputs), most)
        if self._outputs:
            self.names += [f"output, unit {unit}" for unit in range(len(outputs))]

    def of(self, steps: Steps) -> torch.Tensor:
        """The units after each of some steps, (rows, units) float32."""
        found = []
        for part, row in self._chosen:
            dimension = self._dimensions[part]
            assert dimension is not None
            texts = steps.after[part].movedim(dimension, 0)  # (rows, ...)
            found.append((texts if row is None else texts[:, row]).flatten(1).float())
        return torch.cat([*found, *([steps.hidden.float()] if self._outputs else [])], dim=1)

    def _parts(
        self, model: RecurrentLanguageModel, state: State
    ) -> Iterator[tuple[str, int, int | None, torch.Tensor]]:
        """Name, part of the state, row of the layer in it, and values of one text, for each part of each layer."""
        parts = model.recurrence.layer_parts(state)
        layers = 1 + max((one.layer for one in parts), default=0)
        for name, layer, part, row in parts:
            dimension = self._dimensions[part]
            if dimension is None or not state[part].is_floating_point():
                continue
            values = state[part].movedim(dimension, 0)[0]
            values = values if row is None else values[row]
            if values.numel():
                yield f"{name}, layer {layer + 1}" if layers > 1 else name, part, row, values.flatten()

    def _fits(self, name: str, size: int, most: int) -> bool:
        if size <= LARGEST_PART and len(self.names) + size <= most:
            return True
        self.left_out.append(f"{name} ({size:,} numbers)")
        return False
