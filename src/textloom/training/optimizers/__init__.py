"""Optimizers: one module for each, with its config class and the function that builds it.

Every command imports these modules for their config classes, ``--help`` too. torch takes seconds to import, so the
functions import it themselves.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from textloom.config.optimizer import OPTIMIZERS, OptimizerConfig

if TYPE_CHECKING:
    from torch.nn import Parameter
    from torch.optim import Optimizer


def build_optimizer(config: OptimizerConfig, parameters: "Iterable[Parameter]", fused: bool) -> "Optimizer":
    """The optimizer of a config. ``fused``: the step in one kernel, for those that have one."""
    optimizer: Optimizer = OPTIMIZERS.build(config, parameters, fused)
    return optimizer
