"""Values for the keys that a config leaves open (null or auto), chosen from the training text and the machine.

Small batches give a short text enough optimizer steps in an epoch; large batches make training on a long text fast.
``docs/defaults.md`` describes the trainings that these numbers were measured in.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import torch

from textloom.batching.batches import training_batches
from textloom.config import DocumentsConfig, ModelConfig, StreamConfig, TrainConfig
from textloom.data.encoding import TokenSplit
from textloom.models.size import sized
from textloom.system.ranks import Ranks
from textloom.training.batch_size import StepTimer, choose_batch_size
from textloom.training.precision import choose_precision

UNITS = ((200_000, 128), (20_000_000, 256))  # (characters of text at most, units)
MOST_UNITS = 512
DROPOUTS = ((20_000_000, 0.3),)  # (characters of text at most, dropout)
LEAST_DROPOUT = 0.1
STEPS_PER_EPOCH = 200  # fewest optimizer steps in an epoch
ROWS, WINDOWS = (8, 64), (64, 256)  # fewest and most rows, and windows, in a batch
TOTAL_STEPS = 5000  # optimizer steps that are enough for a small text
MOST_EPOCHS = 200
MOST_VALIDATIONS = 40
LONG_EPOCH = 2000  # optimizer steps; there are four validations in a longer epoch

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class OpenConfig:
    """A config with open keys, and the facts from which their values are chosen."""

    config: TrainConfig
    text: TokenSplit
    """The training split."""
    vocabulary_size: int
    device: torch.device
    ranks: int
    """Processes that share the rows of a batch."""


class Choice(NamedTuple):
    """The value chosen for a key, as it is logged."""

    key: str
    value: int | float
    reason: str

    def __str__(self) -> str:
        return f"{self.key}: {self.value}, {self.reason}"


def complete_config(given: OpenConfig) -> tuple[TrainConfig, list[Choice]]:
    """Replace every open key of a network's config by a number; an n-gram model has none.

    Raises ConfigError if ``model.parameters`` does not allow one unit, DataError if the text is too short for a batch.
    """
    config, choices = given.config, list[Choice]()
    if config.model.is_ngram:
        return config, choices
    for choose in (_choose_units, _choose_dropout, _choose_batch_size, _choose_epochs, _choose_validation_interval):
        config, choice = choose(replace(given, config=config))
        choices += [choice] if choice is not None else []
    return config, choices


def _choose_units(given: OpenConfig) -> tuple[TrainConfig, Choice | None]:
    model, characters = given.config.model, given.text.characters
    assert not model.is_ngram
    if isinstance(model.units, int):
        return _with_model(given.config, sized(model, given.vocabulary_size)), None
    if model.parameters is not None:
        model = sized(model, given.vocabulary_size)
        assert isinstance(model.units, int)
        choice = Choice("model.units=auto", model.units, f"the most for {model.parameters:,} parameters")
    else:
        units = _by_length(characters, UNITS, MOST_UNITS)
        model = model.with_units(units)
        choice = Choice("model.units", units, f"for a text of {characters:,} characters")
    return _with_model(given.config, model), choice


def _choose_dropout(given: OpenConfig) -> tuple[TrainConfig, Choice | None]:
    model, characters = given.config.model, given.text.characters
    assert not model.is_ngram
    if model.output_dropout is not None:
        return given.config, None
    dropout = _by_length(characters, DROPOUTS, LEAST_DROPOUT)
    choice = Choice("model.output_dropout", dropout, f"for a text of {characters:,} characters")
    return _with_model(given.config, model.model_copy(update={"output_dropout": dropout})), choice


def _by_length(characters: int, table: Sequence[tuple[int, Number]], otherwise: Number) -> Number:
    return next((value for most, value in table if characters <= most), otherwise)


def _choose_batch_size(given: OpenConfig) -> tuple[TrainConfig, Choice | None]:
    config = given.config
    if config.trainer.batch_size == "auto":
        precision = choose_precision(config, given.device, given.vocabulary_size)[0]
        timer = StepTimer(config, given.text, given.vocabulary_size, given.device, precision, given.ranks)
        choice = Choice("trainer.batch_size=auto", *choose_batch_size(timer))
    elif config.trainer.batch_size is None:
        rows = max(1, _rows(config, given.text) // given.ranks)
        choice = Choice("trainer.batch_size", rows, f"for {given.text.targets:,} targets")
    else:
        return config, None
    return _with_trainer(config, batch_size=choice.value), choice


def _rows(config: TrainConfig, text: TokenSplit) -> int:
    """Rows in a batch: the largest power-of-two multiple of the fewest that leaves ``STEPS_PER_EPOCH`` steps."""
    batching, (fewest, most) = config.batching, ROWS
    if isinstance(batching, StreamConfig):
        rows_in_epoch = text.targets / batching.steps
    elif isinstance(batching, DocumentsConfig):
        rows_in_epoch = max(text.documents, text.targets / batching.steps)
        fewest = min(fewest, text.documents)
    else:
        rows_in_epoch, (fewest, most) = text.targets / batching.stride, WINDOWS
    rows = fewest
    while 2 * rows <= most and rows_in_epoch / (2 * rows) >= STEPS_PER_EPOCH:
        rows *= 2
    return rows


def _choose_epochs(given: OpenConfig) -> tuple[TrainConfig, Choice | None]:
    trainer = given.config.trainer
    if trainer.max_epochs is not None:
        return given.config, None
    batches = _batches_per_epoch(given)
    steps = -(-batches // trainer.accumulate_grad_batches)
    epochs = min(MOST_EPOCHS, -(-TOTAL_STEPS // steps))
    least = max(trainer.max_steps or 0, trainer.extra.get("min_steps") or 0)
    epochs = max(epochs, -(-least // steps), trainer.extra.get("min_epochs") or 0)
    choice = Choice("trainer.max_epochs", epochs, f"of {steps:,} optimizer steps each, if training does not stop early")
    return _with_trainer(given.config, max_epochs=epochs), choice


def _choose_validation_interval(given: OpenConfig) -> tuple[TrainConfig, Choice | None]:
    trainer = given.config.trainer
    if trainer.val_check_interval is not None:
        return given.config, None
    batches = _batches_per_epoch(given)
    epochs = -(-trainer.epochs // MOST_VALIDATIONS)  # between two validations
    in_batches = "check_val_every_n_epoch" not in trainer.extra
    interval, reason = 1.0, "once an epoch"
    long = batches >= LONG_EPOCH * trainer.accumulate_grad_batches
    if long and in_batches:  # rounded up: the end of the training is validated in any case, and is the fourth one
        interval, reason = -(-batches // 4), "batches: four times an epoch"
    elif long:
        interval, reason = 0.25, "four times an epoch"
    elif epochs > 1 and in_batches:
        interval, reason = epochs * batches, f"batches: once in {epochs} epochs"
    choice = Choice("trainer.val_check_interval", interval, reason)
    return _with_trainer(given.config, val_check_interval=interval), choice


def _batches_per_epoch(given: OpenConfig) -> int:
    config = given.config
    batching = training_batches(config.batching, given.text, config.trainer.rows, config.seed, Ranks(size=given.ranks))
    return len(batching)


def _with_model(config: TrainConfig, model: ModelConfig) -> TrainConfig:
    return config if model == config.model else config.model_copy(update={"model": model})


def _with_trainer(config: TrainConfig, **values: int | float) -> TrainConfig:
    return config.model_copy(update={"trainer": config.trainer.model_copy(update=values)})
