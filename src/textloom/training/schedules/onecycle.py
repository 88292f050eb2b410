"""The one-cycle schedule: up, then far down (Smith and Topin 2017, "Super-convergence", arXiv 1708.07120).

The shape and the defaults are those of torch's OneCycleLR and of fast.ai: half a cosine up and half a cosine down. The
momentum stays constant. torch's own class is not used because it fails if a training takes more steps than planned.
"""

from math import cos, pi
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from textloom.config.optimizer import SCHEDULES, ScheduleConfig
from textloom.config.section import Fraction

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LambdaLR


class OneCycleSchedule(ScheduleConfig):
    """The learning rate rises from a share of the peak to the peak, then falls to nearly nothing at the last step."""

    spans_training: ClassVar[bool] = True

    kind: Literal["onecycle"]
    rising_fraction: Annotated[float, Field(gt=0, lt=1)]
    """Share of all steps in which the learning rate rises."""
    initial_fraction: Fraction
    """Share of the peak at the first step."""
    final_fraction: Fraction
    """Share of the peak at the last step."""


@SCHEDULES.register(OneCycleSchedule)
def build_onecycle(config: OneCycleSchedule, optimizer: "Optimizer", total_steps: int) -> "LambdaLR":
    """The schedule over all optimizer steps of a training."""
    from torch.optim.lr_scheduler import LambdaLR

    top = max(0.0, config.rising_fraction * total_steps - 1)
    last = max(total_steps - 1, top + 1)

    def share_of_peak(step: int) -> float:
        if step < top:
            return _between(config.initial_fraction, 1.0, step / top)
        return _between(1.0, config.final_fraction, min(1.0, (step - top) / (last - top)))

    return LambdaLR(optimizer, share_of_peak)


def _between(start: float, end: float, progress: float) -> float:
    """Half a cosine from ``start`` to ``end``."""
    return end + (start - end) * (1 + cos(pi * progress)) / 2
