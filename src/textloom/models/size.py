"""The number of parameters of a recurrent language model, and the number of units for a parameter budget.

Cells are built on the meta device, which allocates and draws nothing, so that any cell can be counted.
"""

from bisect import bisect_right

import torch

from textloom.config import ModelConfig
from textloom.errors import ConfigError
from textloom.models.adaptive_softmax import multiplications
from textloom.models.building import build_cell
from textloom.models.cell import Cell


def sized(config: ModelConfig, vocabulary_size: int) -> ModelConfig:
    """Replace ``units=auto`` by a number: the largest for which the model has at most ``parameters``.

    Without a projection tied weights have an embedding as long as the units. A config that has a number already is
    returned unchanged.
    Raises ConfigError if not even one unit fits, or if units are given that differ from what the budget allows.
    """
    budget = config.parameters
    if budget is None:
        return config

    def parameters(units: int) -> int:
        return count(config, units, vocabulary_size)

    if isinstance(config.units, int) and parameters(config.units) <= budget < parameters(config.units + 1):
        return config
    if parameters(1) > budget:
        raise ConfigError(
            f"model.parameters={budget}: a {config.kind} with one unit and a vocabulary of {vocabulary_size:,} has "
            f"{parameters(1):,} parameters; give more, or lower tokenizer.maximum_size or model.embedding_dim"
        )
    most = 2
    while parameters(most) <= budget:
        most *= 2
    units = most // 2 + bisect_right(range(most // 2 + 1, most), budget, key=parameters)
    if isinstance(config.units, int):
        raise ConfigError(
            f"model.units={config.units}: model.parameters={budget} leads to {units} units for a vocabulary of "
            f"{vocabulary_size:,}; set model.units=auto, or model.parameters=null"
        )
    return config.with_units(units)


def count(config: ModelConfig, units: int, vocabulary_size: int) -> int:
    """Number of trainable parameters of the model with this many units; shared ones are counted once."""
    config = config.with_units(units)
    cell = _cell(config, config.embedding_dim or vocabulary_size)
    recurrence = sum(weight.numel() for weight in cell.parameters())
    if config.learned_initial_state:
        recurrence += sum(part.numel() for part in cell.initial_state(1))
    embedding = vocabulary_size * (config.embedding_dim or 0)
    softmax = sum(multiplications(config.softmax_units, vocabulary_size, config.softmax_cutoffs))
    if config.softmax_cutoffs is None:
        softmax = vocabulary_size + (0 if config.tied_weights else softmax)  # with the bias; tied: only the bias
    return embedding + recurrence + _in_projection(config) + softmax


def recurrent_multiplications(config: ModelConfig) -> int:
    """Multiplications for a token in the products of recurrence and projection; a one-hot input is looked up.

    The cost of one element of the input is the difference between cells for inputs of sizes 1 and 2.
    """
    if config.embedding_dim is not None:
        return _in_matrices(_cell(config, config.embedding_dim)) + _in_projection(config)
    one, two = (_in_matrices(_cell(config, size)) for size in (1, 2))
    return 2 * one - two


def _cell(config: ModelConfig, input_size: int) -> Cell:
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        return build_cell(config, input_size)


def _in_matrices(cell: Cell) -> int:
    return sum(weight.numel() for weight in cell.parameters() if weight.dim() > 1) + cell.attention_multiplications


def _in_projection(config: ModelConfig) -> int:
    return config.output_units * config.softmax_units if config.output_projection else 0
