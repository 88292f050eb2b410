"""The LightningModule: one optimisation step, one validation, and the recurrent state in between."""

import logging
from typing import Any

import pytorch_lightning as pl
import torch

from textloom.config import OptimizerConfig, ScheduleConfig
from textloom.data.batches import Batch
from textloom.errors import TrainingError
from textloom.evaluation.scoring import Score, Tally, scored_states
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.models.state import State, detach
from textloom.training.loss import softmax_cross_entropy
from textloom.training.meter import Meter
from textloom.training.optimizers import build_optimizer, build_plateau, build_schedule

log = logging.getLogger(__name__)


class TrainingModule(pl.LightningModule):
    """Trains a model on batches; owns the state that a stream carries from batch to batch."""

    def __init__(
        self,
        model: RecurrentLanguageModel,
        optimizer: OptimizerConfig,
        schedule: ScheduleConfig,
        total_steps: int,
        validation_characters: int,
        log_every: int,
    ):
        super().__init__()
        self.model = model
        self.optimizer_config = optimizer
        self.schedule_config = schedule
        self.total_steps = total_steps
        self.validation_characters = validation_characters
        self.log_every = log_every
        self.meter = Meter()
        self.written_step = 0
        self.state: State | None = None
        self.tally = Tally()

    def configure_optimizers(self) -> Any:
        """The optimizer, and its schedule where one moves at every step."""
        fused = self.trainer.precision != "16-mixed"  # a fused step would undo the loss scaling only after the clipping
        optimizer = build_optimizer(self.optimizer_config, self.parameters(), fused)
        self.plateau = build_plateau(self.schedule_config, optimizer)
        schedule = build_schedule(self.schedule_config, optimizer, self.total_steps)
        if schedule is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    # --- training ---------------------------------------------------------------------------------------------------

    def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor:
        """Mean nats per target of the batch; the state goes on, cut from its graph."""
        hidden, state = self.model(batch.inputs, None if batch.starts else self.state)
        self.state = detach(state)
        softmax = self.model.softmax
        loss = softmax_cross_entropy(scored_states(hidden, batch), softmax.weight, softmax.bias, batch.targets)
        self.meter.add(self.global_step, loss.detach(), len(batch.targets))
        return loss

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """By norm. Lightning's own clipping refuses fused optimizers in every mixed precision, bf16 included."""
        if gradient_clip_val is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)

    def on_train_epoch_start(self) -> None:
        self.meter.start()

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_index: int) -> None:
        if self.global_step - self.written_step >= self.log_every:
            self._write_training_point()
        trainer = self.trainer
        last_epoch = trainer.max_epochs is not None and self.current_epoch == trainer.max_epochs - 1
        if self.global_step == trainer.max_steps or (last_epoch and trainer.is_last_batch):
            trainer.should_stop = True  # then Lightning validates once more before it ends

    def on_train_epoch_end(self) -> None:
        self.meter.stop()

    def _write_training_point(self) -> None:
        reading = self.meter.read()
        if reading is not None and self.logger is not None and self.global_step > self.written_step:
            self.written_step = self.global_step
            rate = self.trainer.optimizers[0].param_groups[0]["lr"]
            point = {
                "train/loss": reading.loss,
                "train/targets_per_second": reading.targets_per_second,
                "train/learning_rate": rate,
            }
            self.logger.log_metrics(point, step=self.global_step)

    # --- validation -------------------------------------------------------------------------------------------------

    def on_validation_start(self) -> None:
        self._write_training_point()
        self.meter.stop()
        self.tally = Tally()

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Adds the batch to the sums; training's state is not touched."""
        self.tally.add(self.model, batch)

    def on_validation_epoch_end(self) -> None:
        score = self.tally.score(self.validation_characters)
        if not abs(score.loss) < float("inf"):
            raise TrainingError(
                f"the validation loss is {score.loss} at step {self.global_step}; lower optimizer.learning_rate. "
                "The checkpoints written before it are good"
            )
        self.log_dict(
            score.named("val"), logger=False
        )  # for the callbacks; Lightning's own points lie a step too early
        if self.logger is not None:
            self.logger.log_metrics(score.named("val"), step=self.global_step)
        if self.plateau is not None:
            self.plateau.step(score.loss)
        self._say(score)

    def on_validation_end(self) -> None:
        self.meter.start()

    def _say(self, score: Score) -> None:
        training = self.meter.last
        log.info(
            "epoch %d, step %d: train/loss %.3f, val/loss %.3f (%.3f bits per character), %s targets/s",
            self.current_epoch + 1,
            self.global_step,
            training.loss if training else float("nan"),
            score.loss,
            score.bits_per_char,
            f"{training.targets_per_second:,.0f}" if training else "no",
        )
