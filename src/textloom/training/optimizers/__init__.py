"""Optimizers: one module for each, with its config class and the function that builds it.

Every command imports these modules for their config classes, ``--help`` too. torch takes seconds to import, so the
functions import it themselves.
"""

from typing import TYPE_CHECKING

from textloom.config.optimizer import OPTIMIZERS, OptimizerConfig

if TYPE_CHECKING:
    from torch.nn import Module
    from torch.optim import Optimizer


def build_optimizer(config: OptimizerConfig, model: "Module", fused: bool) -> "Optimizer":
    """The optimizer of a config for a model's parameters. ``fused``: the step in one kernel, for those that have one.

    Raises ConfigError if the installed torch does not have it.
    """
    from textloom.training.parameter_groups import parameter_groups

    optimizer: Optimizer = OPTIMIZERS.build(config, parameter_groups(config, model), fused)
    return optimizer
