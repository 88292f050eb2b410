"""Points in TensorBoard, and a line in the log at each validation."""

import logging
from typing import Any

import pytorch_lightning as pl

from textloom.training.callbacks.efficiency import Efficiency
from textloom.training.meter import Meter
from textloom.training.module import TrainingModule
from textloom.training.tensorboard import best_so_far

log = logging.getLogger(__name__)


class Curves(pl.Callback):
    """Writes ``train/*`` at a fixed interval of steps and ``val/*`` at each validation.

    Lightning's own ``self.log`` takes a quarter of a millisecond per call, and its points are one step off.
    """

    def __init__(self, meter: Meter, efficiency: Efficiency, every: int):
        self.meter = meter
        self.efficiency = efficiency
        self.every = every
        self.written_step = 0
        self.best: dict[str, float] | None = None  # the figures of the validation with the lowest loss

    def needs_step(self, trainer: pl.Trainer, step: int) -> bool:
        """True if the next point is due."""
        return step - self.written_step >= self.every

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        """Write a point if it is due."""
        if trainer.global_step - self.written_step >= self.every:
            self._write_point(trainer)

    def on_validation_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Write the point of the steps before, and stop the clock."""
        self._write_point(trainer)
        self.meter.stop()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Stop the clock between epochs."""
        self.meter.stop()

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Write the scores of the validation, as points and as a line in the log."""
        assert isinstance(module, TrainingModule)
        score = module.score
        figures = score.named("val")
        if self.best is None or score.loss < self.best["best/loss"]:
            self.best = best_so_far(figures)
        _write(trainer, figures | self.best)
        reading = self.meter.last
        log.info(
            "epoch %d, step %d: train/loss %s, val/loss %.3f (%.3f bits per character)%s",
            trainer.current_epoch + 1,
            trainer.global_step,
            "-" if reading is None else f"{reading.loss:.3f}",
            score.loss,
            score.bits_per_char,
            "" if reading is None else f", {reading.targets_per_second:,.0f} targets/s",
        )

    def state_dict(self) -> dict[str, Any]:
        """The losses that no point covers yet, which belong to the next one, also after a resume."""
        return {"written_step": self.written_step, "meter": self.meter.state_dict(), "best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore them."""
        self.written_step = state_dict["written_step"]
        self.meter.load_state_dict(state_dict["meter"])
        self.best = state_dict.get("best")  # missing in older checkpoints

    def _write_point(self, trainer: pl.Trainer) -> None:
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        reading = self.meter.read(rate)
        if reading is not None and trainer.global_step > self.written_step:
            self.written_step = trainer.global_step
            self.meter.stop()  # reading the state of the machine does not count as training time
            point = {
                "train/loss": reading.loss,
                "train/gradient_norm": reading.gradient_norm,
                "train/learning_rate": rate,
                **self.efficiency.figures(reading.targets_per_second),
                "train/targets": float(self.meter.total_targets),  # since the beginning
            }
            _write(trainer, point)


def _write(trainer: pl.Trainer, figures: dict[str, float]) -> None:
    for logger in trainer.loggers:
        logger.log_metrics(figures, step=trainer.global_step)
