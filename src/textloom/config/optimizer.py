"""The registries of optimizers and of learning-rate schedules, and the keys that their configs share."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from textloom.config.section import Section
from textloom.registry import Registry


class OptimizerConfig(Section):
    """An optimizer. Each has a config class of its own, with ``kind`` and its other keys."""

    separates_hidden: ClassVar[bool] = False
    """True if the parameters come in groups, and those of the hidden matrices have ``hidden=True``."""

    kind: str
    """Kind of the optimizer."""
    learning_rate: Annotated[float, Field(gt=0)]
    """Step size at the schedule's peak."""
    weight_decay: Annotated[float, Field(ge=0)]
    """Weight decay: the strength of the pull of the weights towards zero."""
    decayed_weights: Literal["matrices", "all"] = "all"
    """Weights that decay: all, or matrices, which leaves out biases, norms and an embedding that is not tied."""

    def check_torch(self) -> None:
        """Raises ConfigError if the installed torch does not have the optimizer."""

    @property
    def averaging_patience(self) -> int | None:
        """Validations without a better loss after which the weights are averaged; None for no such averaging."""
        return None


class ScheduleConfig(Section):
    """A learning-rate schedule. Each has a config class of its own, with ``kind`` and its other keys."""

    interval: ClassVar[Literal["step", "epoch"]] = "step"
    """When the schedule changes the learning rate: after an optimizer step, or after an epoch."""
    spans_training: ClassVar[bool] = False
    """True if the schedule is stretched over all steps of a training, so that their number cannot change later."""

    kind: str
    """Kind of the schedule."""


OPTIMIZERS = Registry[OptimizerConfig]("optimizer", package="textloom.training.optimizers")
"""The optimizers, each with a config class and a function that builds it from config, parameters and ``fused``.

The parameters may come in groups, as torch's optimizers take them."""

SCHEDULES = Registry[ScheduleConfig]("schedule", package="textloom.training.schedules")
"""The schedules, each with a config class and a function of the config, the optimizer and the number of steps."""
