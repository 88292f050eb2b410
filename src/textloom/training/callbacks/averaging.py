"""Averages of the weights, which are validated and saved as the model: a running mean, or a mean that begins late."""

import logging
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.hooks import RemovableHandle

from textloom.training.lightning_internals import averaged_model

log = logging.getLogger(__name__)


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
            self._update(pl_module)

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

    def _update(self, pl_module: pl.LightningModule) -> None:
        averaged_model(self).update_parameters(pl_module)

    def _average(self, means: list[torch.Tensor], weights: list[torch.Tensor], _: torch.Tensor) -> None:
        steps = int(averaged_model(self).n_averaged)
        get_ema_multi_avg_fn(self._decay(steps))(means, weights, steps)  # type: ignore[no-untyped-call]

    def _decay(self, steps: int) -> float:
        """Weight of the mean so far in the next one, after so many steps."""
        return min(self.decay, (1 + steps) / (10 + steps))


class TriggeredMean(RunningMean):
    """Arithmetic mean of the weights after each optimizer step since validation stopped improving.

    The rule is that of NT-ASGD (Merity et al. 2018, arXiv 1708.02182, algorithm 1): averaging begins after a validation
    that is worse than the best of those more than ``nonmonotone`` validations ago. Before that the weights themselves
    are validated. The mean is that of torch's ASGD with ``t0=0`` and ``lambd=0``.
    """

    def __init__(self, nonmonotone: int):
        super().__init__(decay=0.0)
        self.nonmonotone = nonmonotone
        self.losses: list[float] = []
        """Loss of each validation before averaging began."""
        self.begun = False

    @property
    def state_key(self) -> str:
        """The key in checkpoints."""
        return "TriggeredMean"

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Validate the mean; before averaging has begun, the weights."""
        self._follow(pl_module)
        super().on_validation_epoch_start(trainer, pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to average if this validation says so."""
        if self.begun:
            return
        loss = float(trainer.callback_metrics["val/loss"])
        earlier = self.losses[: -self.nonmonotone]
        self.losses.append(loss)
        if earlier and loss > min(earlier):
            self.begun = True
            log.info("averaging the weights from step %d on: val/loss stopped improving", trainer.global_step)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Save the mean as the model; before averaging has begun, the weights."""
        self._follow(pl_module)
        super().on_save_checkpoint(trainer, pl_module, checkpoint)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the mean in the module, if there is one."""
        self._follow(pl_module)
        super().on_train_end(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """Whether averaging has begun, and the losses that decide it."""
        return {**super().state_dict(), "losses": list(self.losses), "begun": self.begun}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore them."""
        super().load_state_dict(state_dict)
        self.losses, self.begun = list(state_dict["losses"]), state_dict["begun"]

    def _update(self, pl_module: pl.LightningModule) -> None:
        """Do nothing before averaging has begun, so that these steps cost nothing."""
        if self.begun:
            super()._update(pl_module)

    def _follow(self, pl_module: pl.LightningModule) -> None:
        """Set the mean to the weights, if averaging has not begun yet."""
        if not self.begun:
            averaged_model(self).n_averaged.zero_()
            averaged_model(self).update_parameters(pl_module)  # the first update copies
            averaged_model(self).n_averaged.zero_()

    def _decay(self, steps: int) -> float:
        return steps / (steps + 1)
