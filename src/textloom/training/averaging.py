"""The running mean of the weights, which validates and is kept as the model."""

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch.optim.swa_utils import get_ema_multi_avg_fn


class RunningMean(WeightAveraging):
    """Exponential moving average of the weights, ``mean = d * mean + (1 - d) * weights`` after each optimizer step.

    After n steps d is ``min(decay, (1 + n) / (10 + n))``, the rule of TensorFlow's ExponentialMovingAverage: the mean
    leaves the initial weights within a few steps, also in short trainings.
    """

    def __init__(self, decay: float):
        super().__init__(multi_avg_fn=self._average)
        self.decay = decay

    @property
    def state_key(self) -> str:
        """The key of the checkpoints that were written with Lightning's own callback."""
        return "EMAWeightAveraging"

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Count steps on the CPU: reading a count on a GPU would make every step wait for it."""
        super().setup(trainer, pl_module, stage)
        if self._average_model is not None:
            self._average_model.n_averaged = torch.tensor(0)  # before a checkpoint is loaded

    def _average(self, means: list[torch.Tensor], weights: list[torch.Tensor], _: torch.Tensor) -> None:
        assert self._average_model is not None
        steps = int(self._average_model.n_averaged)
        decay = min(self.decay, (1 + steps) / (10 + steps))
        get_ema_multi_avg_fn(decay)(means, weights, steps)  # type: ignore[no-untyped-call]
