"""The running mean of the weights, which validates and is kept as the model."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.hooks import RemovableHandle

from textloom.training.lightning_internals import averaged_model


class RunningMean(WeightAveraging):
    """Exponential moving average of the weights, ``mean = d * mean + (1 - d) * weights`` after each optimizer step.

    After n steps d is ``min(decay, (1 + n) / (10 + n))``, the rule of TensorFlow's ExponentialMovingAverage: the mean
    leaves the initial weights within a few steps, also in short trainings.
    """

    def __init__(self, decay: float):
        super().__init__(multi_avg_fn=self._average)
        self.decay = decay
        self._hook: RemovableHandle | None = None

    @property
    def state_key(self) -> str:
        """The key of the checkpoints that were written with Lightning's own callback."""
        return "EMAWeightAveraging"

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Count steps on the CPU: reading a count on a GPU would make every step wait for it."""
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            averaged_model(self).n_averaged = torch.tensor(0)  # before a checkpoint is loaded

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Average after each step of the optimizer, so that no batch needs to be looked at."""

        def update(*_: Any) -> None:
            averaged_model(self).update_parameters(pl_module)

        self._hook = trainer.optimizers[0].register_step_post_hook(update)

    def on_train_batch_end(self, *_: Any) -> None:
        """Do nothing: the optimizer's hook averages."""

    def needs_step(self, trainer: pl.Trainer, step: int) -> bool:
        """False: no step needs this callback's hooks."""
        return False

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the mean in the module, and the optimizer as it was."""
        assert self._hook is not None
        self._hook.remove()
        super().on_train_end(trainer, pl_module)

    def _average(self, means: list[torch.Tensor], weights: list[torch.Tensor], _: torch.Tensor) -> None:
        steps = int(averaged_model(self).n_averaged)
        decay = min(self.decay, (1 + steps) / (10 + steps))
        get_ema_multi_avg_fn(decay)(means, weights, steps)  # type: ignore[no-untyped-call]
