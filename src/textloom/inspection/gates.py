"""The values of a cell's gates over a text.

Saturation is that of Karpathy, Johnson and Fei-Fei (2015), "Visualizing and understanding recurrent networks", arXiv
1506.02078, figure 3: how often a gate is below 0.1 (left-saturated) or above 0.9 (right-saturated).
"""

from dataclasses import dataclass

import torch

from textloom.inspection.reading import Steps, input_vectors
from textloom.models.recurrent import RecurrentLanguageModel

CLOSED, OPEN = 0.1, 0.9


@dataclass(frozen=True)
class GateUse:
    """One gate of every unit over a text, layer by layer; all shapes are (units,)."""

    gate: str
    left: list[torch.Tensor]
    """Share of the tokens at which the gate is below 0.1."""
    right: list[torch.Tensor]
    """Share of the tokens at which the gate is above 0.9."""
    mean: list[torch.Tensor]
    """Mean value."""


class GateTally:
    """Sums over the steps of a text."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, int], torch.Tensor] = {}  # gate and layer -> (3, units): below, above, values
        self._steps = 0

    @torch.no_grad()
    def add(self, model: RecurrentLanguageModel, steps: Steps) -> None:
        """Add some steps."""
        for gate, layers in step_gates(model, steps).items():
            for layer, values in enumerate(layers):
                sums = torch.stack([(values < CLOSED).sum(0), (values > OPEN).sum(0), values.sum(0)]).double()
                self._sums[gate, layer] = self._sums.get((gate, layer), torch.zeros_like(sums)) + sums
        self._steps += len(steps.tokens)

    def uses(self) -> list[GateUse]:
        """The gates of all steps; empty if the cell has none."""
        gates = dict.fromkeys(gate for gate, _ in self._sums)
        shares = {
            gate: [sums / self._steps for (name, _), sums in self._sums.items() if name == gate] for gate in gates
        }
        return [GateUse(gate, *(list(parts) for parts in zip(*layers, strict=True))) for gate, layers in shares.items()]


def step_gates(model: RecurrentLanguageModel, steps: Steps) -> dict[str, list[torch.Tensor]]:
    """The gates at each of some steps by their names, (rows, units) for each layer; empty if the cell has none."""
    vectors = input_vectors(model, steps.tokens)  # (rows, input_size)
    return model.recurrence.gate_values(vectors, steps.before, steps.after)


def time_scales(mean: torch.Tensor) -> torch.Tensor:
    """Number of tokens after which a unit's state has fallen to 1/e: 1 / (1 - mean forget gate)."""
    return 1 / (1 - mean).clamp(min=1e-9)
