"""Linear warm-up, then a cosine (Loshchilov and Hutter 2016, arXiv 1608.03983)."""

import logging
from math import cos, pi
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from textloom.config.optimizer import SCHEDULES, ScheduleConfig
from textloom.config.section import Fraction, NonNegative, Unit

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LambdaLR


log = logging.getLogger(__name__)


class CosineSchedule(ScheduleConfig):
    """Linear warm-up, then a cosine down to a share of the peak at the last step."""

    spans_training: ClassVar[bool] = True

    kind: Literal["cosine"]
    warmup_steps: Annotated[NonNegative, Unit("steps")]
    """Optimizer steps until the peak."""
    final_fraction: Fraction
    """Share of the peak that is left at the last step."""


@SCHEDULES.register(CosineSchedule)
def build_cosine(config: CosineSchedule, optimizer: "Optimizer", total_steps: int) -> "LambdaLR":
    """The schedule over all optimizer steps of a training."""
    from torch.optim.lr_scheduler import LambdaLR

    warmup, final = config.warmup_steps, config.final_fraction
    if warmup >= total_steps:
        log.warning(
            "schedule.warmup_steps=%d: the learning rate never reaches its peak in %d steps; lower it",
            warmup,
            total_steps,
        )

    def share_of_peak(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        progress = min(1.0, (step - warmup) / max(1, total_steps - warmup))
        return final + (1 - final) * (1 + cos(pi * progress)) / 2

    return LambdaLR(optimizer, share_of_peak)
