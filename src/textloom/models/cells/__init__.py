"""Recurrent cells, one module each, registered in ``textloom.config.CELLS`` with a config class.

A cell from outside is registered by a plugin; a module in this package works in the same way::

    class LeakyConfig(ModelConfig):
        kind: Literal["leaky"]
        leak: float

    @CELLS.register(LeakyConfig)
    @stacked
    class Leaky(Cell):
        def __init__(self, config, input_size):
            super().__init__()
            self.leak = config.leak
            self.enter = nn.Linear(input_size, config.units)
            self.recur = nn.Linear(config.units, config.units, bias=False)

        def initial_state(self, batch_size):
            return (self.recur.weight.new_zeros(batch_size, len(self.recur.weight)),)

        def forward(self, vectors, state):
            (hidden,), outputs = state, []
            for entered in self.enter(vectors).unbind(1):
                hidden = (1 - self.leak) * hidden + self.leak * torch.tanh(entered + self.recur(hidden))
                outputs.append(hidden)
            return torch.stack(outputs, dim=1), (hidden,)
"""

from textloom.models.building import build_cell
from textloom.models.cell import Cell, FastLayer
from textloom.models.stacked import Stacked, stacked

__all__ = ["Cell", "FastLayer", "Stacked", "build_cell", "stacked"]
