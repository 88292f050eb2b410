"""A learning rate that falls after given epochs, as in Zaremba et al. (2014), arXiv 1409.2329."""

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from textloom.config.optimizer import SCHEDULES, ScheduleConfig
from textloom.config.section import NonNegative, Positive, Unit

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LambdaLR


class StepSchedule(ScheduleConfig):
    """The learning rate is constant for some epochs, and then multiplied by a factor at regular intervals."""

    interval: ClassVar[Literal["step", "epoch"]] = "epoch"

    kind: Literal["step"]
    factor: Annotated[float, Field(gt=0, lt=1)]
    """Factor on the learning rate each time."""
    constant_epochs: Annotated[NonNegative, Unit("epochs")]
    """Epochs at the full learning rate before the first fall."""
    every_epochs: Annotated[Positive, Unit("epochs")]
    """Epochs from one fall to the next."""
    at_epochs: list[Positive] | None
    """Epochs after which the learning rate falls, instead of constant_epochs and every_epochs; null for those two."""

    @model_validator(mode="after")
    def _epochs_rise(self) -> Self:
        if self.at_epochs is not None and (
            not self.at_epochs or any(one >= other for one, other in pairwise(self.at_epochs))
        ):
            raise ValueError("at_epochs must be rising numbers of epochs; write schedule.at_epochs=[25,35]")
        return self


@SCHEDULES.register(StepSchedule)
def build_step(config: StepSchedule, optimizer: "Optimizer", total_steps: int) -> "LambdaLR":
    """The schedule, to be stepped after each epoch."""
    from torch.optim.lr_scheduler import LambdaLR

    def share(epochs: int) -> float:
        """Share of the full learning rate after so many epochs."""
        if config.at_epochs is not None:
            falls = sum(epochs >= epoch for epoch in config.at_epochs)
        elif epochs < config.constant_epochs:
            falls = 0
        else:
            falls = (epochs - config.constant_epochs) // config.every_epochs + 1
        return config.factor**falls

    return LambdaLR(optimizer, share)
