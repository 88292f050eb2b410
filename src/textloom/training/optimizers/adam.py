"""Adam (Kingma and Ba 2014, arXiv 1412.6980) and AdamW (Loshchilov and Hutter 2017, arXiv 1711.05101)."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from textloom.config.optimizer import OPTIMIZERS, OptimizerConfig
from textloom.config.section import Fraction

if TYPE_CHECKING:
    from torch.optim import Adam
    from torch.optim.optimizer import ParamsT


class AdamConfig(OptimizerConfig):
    """Adam and AdamW (decoupled weight decay)."""

    kind: Literal["adam", "adamw"]
    beta1: Fraction
    """Decay of the running mean of the gradient."""
    beta2: Fraction
    """Decay of the running mean of its square."""
    epsilon: Annotated[float, Field(gt=0)] = 1e-8
    """Added to the root of that mean: smaller gradients, as of words that never occur, take smaller steps."""


@OPTIMIZERS.register(AdamConfig)
def build_adam(config: AdamConfig, parameters: "ParamsT", fused: bool) -> "Adam":
    """Adam or AdamW."""
    from torch.optim import Adam, AdamW

    optimizer = AdamW if config.kind == "adamw" else Adam
    return optimizer(
        parameters,
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        eps=config.epsilon,
        weight_decay=config.weight_decay,
        fused=fused,
    )
