"""Stochastic gradient descent, with momentum."""

from typing import TYPE_CHECKING, Literal

from textloom.config.optimizer import OPTIMIZERS, OptimizerConfig
from textloom.config.section import Fraction

if TYPE_CHECKING:
    from torch.optim import SGD
    from torch.optim.optimizer import ParamsT


class SGDConfig(OptimizerConfig):
    """Stochastic gradient descent."""

    kind: Literal["sgd"]
    momentum: Fraction
    """Momentum: the share of the last step that is added to the next one."""


@OPTIMIZERS.register(SGDConfig)
def build_sgd(config: SGDConfig, parameters: "ParamsT", fused: bool) -> "SGD":
    """Stochastic gradient descent."""
    from torch.optim import SGD

    return SGD(
        parameters,
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        fused=fused,
    )
