"""Muon for hidden matrices (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon), AdamW for the rest."""

from typing import TYPE_CHECKING, ClassVar, Literal

from textloom.config.optimizer import OPTIMIZERS, OptimizerConfig
from textloom.config.section import Fraction
from textloom.errors import ConfigError

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.optimizer import ParamsT


class MuonConfig(OptimizerConfig):
    """Muon for the matrices of the recurrence; AdamW for embedding, softmax and biases, with the same learning rate."""

    separates_hidden: ClassVar[bool] = True

    kind: Literal["muon"]
    momentum: Fraction
    """Momentum of Muon: the share of the last step that is added to the next one."""
    beta1: Fraction
    """Decay of the running mean of the gradient, in AdamW."""
    beta2: Fraction
    """Decay of the running mean of its square, in AdamW."""

    def check_torch(self) -> None:
        """Raises ConfigError if the installed torch has no Muon."""
        import torch

        if not hasattr(torch.optim, "Muon"):
            raise ConfigError(
                f"optimizer=muon: torch {torch.__version__} has no Muon, which came with 2.9; "
                "pip install 'torch>=2.9', or set optimizer=adamw"
            )


@OPTIMIZERS.register(MuonConfig)
def build_muon(config: MuonConfig, parameters: "ParamsT", fused: bool) -> "Optimizer":
    """Both optimizers as one. Raises ConfigError if the installed torch has no Muon."""
    from textloom.training.muon import MuonWithAdamW

    config.check_torch()
    return MuonWithAdamW(
        parameters,
        lr=config.learning_rate,
        momentum=config.momentum,
        betas=(config.beta1, config.beta2),
        fused=fused,
    )
