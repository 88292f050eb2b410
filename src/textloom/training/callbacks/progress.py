"""The progress line of a training: epoch, optimizer steps, loss, targets per second and the time left."""

from contextlib import ExitStack

import pytorch_lightning as pl

from textloom.system.progress import Stage, stage
from textloom.training.lightning_internals import epoch_number
from textloom.training.meter import Meter
from textloom.training.module import TrainingModule


class TrainingStage(Stage):
    """Reads everything from the trainer when it is drawn: a step costs nothing."""

    def __init__(self, trainer: pl.Trainer, meter: Meter):
        super().__init__("starting", unit="steps")
        self.trainer, self.meter = trainer, meter

    def begin(self) -> None:
        """Training starts, at a checkpoint's step or at 0; all the steps that nothing ends early are the total."""
        steps = self.trainer.estimated_stepping_batches
        self.total = int(steps) if 0 < steps < float("inf") else None
        self.first = self.trainer.global_step

    def refresh(self) -> None:
        """The epoch as the log counts it, the step and the last reading of the meter."""
        self.name, self.done = f"epoch {epoch_number(self.trainer)}", self.trainer.global_step
        reading = self.meter.last
        if reading is not None:
            self.notes = [f"loss {reading.loss:.3f}", f"{reading.targets_per_second:,.0f} targets/s"]


class ValidationProgress(pl.Callback):
    """Shows training, and in its place each validation with the targets that are scored."""

    def __init__(self, shown: TrainingStage):
        self.shown = shown
        self.validation = ExitStack()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Only now the number of batches is known."""
        self.shown.begin()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The targets of the validation part are the total; each batch that is scored advances it."""
        assert isinstance(pl_module, TrainingModule)
        self.validation.enter_context(stage("validating", pl_module.validation.targets, "targets"))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Training is shown again."""
        self.validation.close()
