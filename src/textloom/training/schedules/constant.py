"""A constant learning rate."""

from typing import TYPE_CHECKING, Literal

from textloom.config.optimizer import SCHEDULES, ScheduleConfig

if TYPE_CHECKING:
    from torch.optim import Optimizer


class ConstantSchedule(ScheduleConfig):
    """The learning rate does not change."""

    kind: Literal["constant"]


@SCHEDULES.register(ConstantSchedule)
def build_constant(config: ConstantSchedule, optimizer: "Optimizer", total_steps: int) -> None:
    """None: nothing changes the learning rate."""
