"""Optimizers: one module for each, with its config class and the function that builds it.

Every command imports these modules for their config classes, ``--help`` too. torch takes seconds to import, so the
functions import it themselves.
"""

from typing import TYPE_CHECKING

from textloom.config.optimizer import OPTIMIZERS, OptimizerConfig

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from textloom.models.recurrent import RecurrentLanguageModel


def build_optimizer(config: OptimizerConfig, model: "RecurrentLanguageModel", fused: bool) -> "Optimizer":
    """The optimizer of a config for a model's parameters. ``fused`` asks for a step in one kernel, if there is one.

    Raises ConfigError if the installed torch does not have it.
    """
    from textloom.training.parameter_groups import parameter_groups

    optimizer: Optimizer = OPTIMIZERS.build(config, parameter_groups(config, model), fused)
    return optimizer
