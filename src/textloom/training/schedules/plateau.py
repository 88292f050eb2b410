"""A learning rate that falls when validation stops improving."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from textloom.config.optimizer import SCHEDULES, ScheduleConfig
from textloom.config.section import NonNegative, Unit

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import ReduceLROnPlateau


class PlateauSchedule(ScheduleConfig):
    """The learning rate falls when validation stops improving."""

    kind: Literal["plateau"]
    factor: Annotated[float, Field(gt=0, lt=1)]
    """Factor on the learning rate."""
    patience: Annotated[NonNegative, Unit("validations")]
    """Validations without improvement before the learning rate falls."""


@SCHEDULES.register(PlateauSchedule)
def build_plateau(config: PlateauSchedule, optimizer: "Optimizer", total_steps: int) -> "ReduceLROnPlateau":
    """The schedule, to be stepped with the loss of each validation."""
    from torch.optim.lr_scheduler import ReduceLROnPlateau

    return ReduceLROnPlateau(optimizer, factor=config.factor, patience=config.patience)
