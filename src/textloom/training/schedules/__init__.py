"""Learning-rate schedules: one module for each, with its config class and the function that builds it.

Every command imports these modules for their config classes, ``--help`` too. torch takes seconds to import, so the
functions import it themselves.
"""

from typing import TYPE_CHECKING

from textloom.config.optimizer import SCHEDULES, ScheduleConfig

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler


def build_schedule(config: ScheduleConfig, optimizer: "Optimizer", total_steps: int) -> "LRScheduler | None":
    """The schedule of the learning rate; None for a constant one.

    A ReduceLROnPlateau is stepped after each validation; any other schedule after each optimizer step or epoch,
    depending on its config.
    """
    schedule: LRScheduler | None = SCHEDULES.build(config, optimizer, total_steps)
    return schedule
