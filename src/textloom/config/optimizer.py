"""How the weights move: the registries of optimizers and of learning-rate schedules, and what their configs share."""

from typing import Annotated

from pydantic import Field

from textloom.config.section import Section
from textloom.registry import Registry


class OptimizerConfig(Section):
    """An optimizer. Each has a config class of its own, with ``kind`` and its other keys."""

    kind: str
    """Which optimizer."""
    learning_rate: Annotated[float, Field(gt=0)]
    """Step size at the schedule's peak."""
    weight_decay: Annotated[float, Field(ge=0)]
    """Pull of the weights towards zero."""


class ScheduleConfig(Section):
    """A learning-rate schedule. Each has a config class of its own, with ``kind`` and its other keys."""

    kind: str
    """Which schedule."""


OPTIMIZERS = Registry[OptimizerConfig]("optimizer", package="textloom.training.optimizers")
"""The optimizers: a config class, and a function of the config, the parameters and ``fused`` that builds each."""

SCHEDULES = Registry[ScheduleConfig]("schedule", package="textloom.training.schedules")
"""The schedules: a config class, and a function of the config, the optimizer and the number of steps for each."""
