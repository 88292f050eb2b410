"""A trained state for the beginning of a text: Forcada and Carrasco (1995), "Learning the initial state of a
second-order recurrent neural network during regular-language inference".
"""

from torch import nn

from textloom.errors import ConfigError
from textloom.models.cell import Cell
from textloom.models.state import State, batch_dimensions, expanded


class LearnedInitialState(nn.Module):
    """One state for all texts, a parameter for each part of it; its initial value is the cell's own initial state.

    Only batches that begin a text train it: with ``batching=stream`` the first of each epoch.
    """

    def __init__(self, cell: Cell, kind: str):
        super().__init__()
        parts = cell.initial_state(1)
        if not all(part.is_floating_point() for part in parts):
            raise ConfigError(
                f"model.learned_initial_state=True: a part of the state of model.cell={kind} is not a real number; "
                "set model.learned_initial_state=false"
            )
        for number, part in enumerate(parts):
            self.register_parameter(f"part_{number}", nn.Parameter(part.clone()))
        self.dimensions = batch_dimensions(cell.initial_state)

    def forward(self, batch_size: int) -> State:
        """The state for this many texts, in the shapes of the cell's own."""
        return expanded(tuple(self.parameters()), self.dimensions, batch_size)
