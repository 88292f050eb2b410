"""NT-ASGD (Merity et al. 2018, "Regularizing and optimizing LSTM language models", arXiv 1708.02182, section 3).

Stochastic gradient descent, whose weights are averaged from the validation on at which the loss is worse than the best
of those more than ``nonmonotone`` validations ago. ``training/callbacks/averaging.py`` averages: validation needs the
mean, and training the weights, as with ``trainer.weight_averaging``.
"""

from typing import TYPE_CHECKING, Annotated, Literal

from textloom.config.optimizer import OPTIMIZERS, OptimizerConfig
from textloom.config.section import Positive, Unit

if TYPE_CHECKING:
    from torch.optim import SGD
    from torch.optim.optimizer import ParamsT


class NTASGDConfig(OptimizerConfig):
    """Stochastic gradient descent, averaged once validation stops improving: NT-ASGD."""

    kind: Literal["ntasgd"]
    nonmonotone: Annotated[Positive, Unit("validations")]
    """Averaging begins when a validation is worse than the best of those more than this many validations ago."""

    @property
    def averaging_patience(self) -> int | None:
        """``nonmonotone``."""
        return self.nonmonotone


@OPTIMIZERS.register(NTASGDConfig)
def build_ntasgd(config: NTASGDConfig, parameters: "ParamsT", fused: bool) -> "SGD":
    """Stochastic gradient descent, whose steps are averaged."""
    from torch.optim import SGD

    return SGD(parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=fused)
