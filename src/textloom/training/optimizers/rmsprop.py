"""RMSprop (Hinton, Srivastava and Swersky 2012, "Neural networks for machine learning", lecture 6)."""

from typing import TYPE_CHECKING, Literal

from textloom.config.optimizer import OPTIMIZERS, OptimizerConfig
from textloom.config.section import Fraction

if TYPE_CHECKING:
    from torch.optim import RMSprop
    from torch.optim.optimizer import ParamsT


class RMSpropConfig(OptimizerConfig):
    """RMSprop."""

    kind: Literal["rmsprop"]
    smoothing: Fraction
    """Decay of the running mean of the squared gradient."""
    momentum: Fraction
    """Momentum: the share of the last step that is added to the next one."""


@OPTIMIZERS.register(RMSpropConfig)
def build_rmsprop(config: RMSpropConfig, parameters: "ParamsT", fused: bool) -> "RMSprop":
    """RMSprop, which has no fused step."""
    from torch.optim import RMSprop

    return RMSprop(
        parameters,
        lr=config.learning_rate,
        alpha=config.smoothing,
        weight_decay=config.weight_decay,
        momentum=config.momentum,
    )
