"""Building the cell of a config, and the check that it does what ``Cell`` promises."""

from collections.abc import Callable
from typing import Any

import torch

from textloom.config import CELLS, ModelConfig
from textloom.errors import PluginError, TextloomError
from textloom.models.cell import Cell
from textloom.models.stacked import Stacked
from textloom.system.devices import is_out_of_memory

CHECKED_BATCH, CHECKED_TIME = 2, 3


def build_cell(config: ModelConfig, input_size: int) -> Cell:
    """The cell of a config. Raises PluginError if it cannot be built or does not do what ``Cell`` promises."""
    name = f"model.cell={config.kind}"
    target = CELLS.target(config.kind)
    origin = f"{target.__module__}.{target.__qualname__}"
    try:
        cell = _build(target, config, input_size)
    except TextloomError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise PluginError(f"{name}: {origin} cannot be built: {_reason(error)}; repair it") from error
    if not isinstance(cell, Cell):
        raise PluginError(f"{name}: {origin} gives a {type(cell).__name__}; derive it from textloom.models.cells.Cell")
    if not any(parameter.is_meta for parameter in cell.parameters()):
        mistake = _find_mistake(cell, config, input_size)
        if mistake is not None:
            raise PluginError(f"{name}: {mistake}; repair {origin}")
    return cell


def _build(target: Callable[[ModelConfig, int], Cell], config: ModelConfig, input_size: int) -> Cell:
    """All layers in one cell, or one cell for each layer if the config adds operations between them."""
    cell = target(config, input_size)
    between = config.layer_norm or config.residual or config.skip_connections
    if not between or isinstance(cell, Stacked) or not isinstance(cell, Cell):
        return cell
    assert isinstance(config.units, int)
    single = config.model_copy(update={"layers": 1, "layer_dropout": 0.0})
    sizes = [input_size] + [config.units] * (config.layers - 1)
    return Stacked([target(single, size) for size in sizes], config)


@torch.no_grad()
def _find_mistake(cell: Cell, config: ModelConfig, input_size: int) -> str | None:
    """The mistake in the outputs for a small input of zeros, or None. Leaves random states unchanged."""
    was_training = cell.training
    try:
        with torch.random.fork_rng(devices=[]):
            before = cell.eval().initial_state(CHECKED_BATCH)
            if not _is_state(before):
                return f"its initial_state gives {_shown(before)}, not a tuple of tensors"
            device = next(cell.parameters(), torch.empty(0)).device
            returned = cell(torch.zeros(CHECKED_BATCH, CHECKED_TIME, input_size, device=device), before)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        return f"its first step fails: {_reason(error)}"
    finally:
        cell.train(was_training)
    if not isinstance(returned, tuple) or len(returned) != 2:
        return f"its forward gives {_shown(returned)}, not hidden states and a state"
    hidden, after = returned
    shape = (CHECKED_BATCH, CHECKED_TIME, config.output_units)
    if not isinstance(hidden, torch.Tensor) or hidden.shape != shape:
        return f"its forward gives hidden states {_shown(hidden)}, not {shape} (batch, time, units)"
    if not _is_state(after) or [(p.shape, p.dtype) for p in after] != [(p.shape, p.dtype) for p in before]:
        return f"its forward gives the state {_shown(after)}, and was given {_shown(before)}"
    return None


def _is_state(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(part, torch.Tensor) for part in value)


def _shown(value: Any) -> str:
    """A value by its structure: tensors by shape and type."""
    if isinstance(value, torch.Tensor):
        dtype = "" if value.dtype == torch.float32 else f" {str(value.dtype).removeprefix('torch.')}"
        return f"{tuple(value.shape)}{dtype}"
    if isinstance(value, tuple | list):
        return f"{type(value).__name__} [{', '.join(map(_shown, value))}]"
    return type(value).__name__


def _reason(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
