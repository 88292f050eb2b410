"""How many numbers a recurrent language model trains, and how many units a budget of them pays for."""

from bisect import bisect_right

from textloom.config import ModelConfig
from textloom.errors import ConfigError
from textloom.models.adaptive_softmax import multiplications

GATES = {"lstm": 4, "gru": 3, "rnn": 1}


def sized(config: ModelConfig, vocabulary_size: int) -> ModelConfig:
    """The same config with a number for ``units=auto``: the largest whose model keeps within ``parameters``.

    Tied weights have an embedding as long as the units. A config that has its number already comes back as it is.
    Raises ConfigError if not even one unit fits, or where units are given that the budget does not lead to.
    """
    if config.parameters is None:
        return config
    budget = config.parameters
    units = bisect_right(range(1, budget + 1), budget, key=lambda units: count(config, units, vocabulary_size))
    if units == 0:
        raise ConfigError(
            f"model.parameters={budget}: a {config.cell} with one unit and a vocabulary of {vocabulary_size:,} has "
            f"{count(config, 1, vocabulary_size):,} parameters; give more, or lower tokenizer.maximum_size or "
            "model.embedding_dim"
        )
    if config.units not in ("auto", None, units):
        raise ConfigError(
            f"model.units={config.units}: model.parameters={budget} leads to {units} units for a vocabulary of "
            f"{vocabulary_size:,}; set model.units=auto, or model.parameters=null"
        )
    embedding_dim = units if config.tied_weights else config.embedding_dim
    return config.model_copy(update={"units": units, "embedding_dim": embedding_dim})


def count(config: ModelConfig, units: int, vocabulary_size: int) -> int:
    """Trainable numbers of the model with so many units; torch.nn keeps two vectors of biases for each layer."""
    embedding_dim = units if config.tied_weights else config.embedding_dim
    inputs = embedding_dim or vocabulary_size
    embedding = vocabulary_size * (embedding_dim or 0)
    softmax = sum(multiplications(units, vocabulary_size, config.softmax_cutoffs))
    if config.softmax_cutoffs is None:
        softmax = vocabulary_size + (0 if config.tied_weights else softmax)  # with the bias; tied: that alone
    first = units * (inputs + units + 2)
    others = (config.layers - 1) * units * (2 * units + 2)
    return embedding + GATES[config.cell] * (first + others) + softmax
