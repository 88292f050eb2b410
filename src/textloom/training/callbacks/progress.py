"""The progress line of a training: epoch, optimizer steps, loss, targets per second and the time left."""

from contextlib import ExitStack

import pytorch_lightning as pl

from textloom.system.progress import Stage, stage
from textloom.training.lightning_internals import epoch_number
from textloom.training.meter import Meter
from textloom.training.module import TrainingModule


class TrainingStage(Stage):
    """Reads its figures from the trainer only when it is drawn, so that it takes no time in a step."""

    def __init__(self, trainer: pl.Trainer, meter: Meter):
        super().__init__("starting", unit="steps")
        self.trainer, self.meter = trainer, meter

    def begin(self) -> None:
        """Set the first step, and as the total the steps of a training that nothing ends early."""
        steps = self.trainer.estimated_stepping_batches
        self.total = int(steps) if 0 < steps < float("inf") else None
        self.first = self.trainer.global_step

    def refresh(self) -> None:
        """Read the epoch, the step and the last reading of the meter."""
        self.name, self.done = f"epoch {epoch_number(self.trainer)}", self.trainer.global_step
        reading = self.meter.last
        if reading is not None:
            self.notes = [f"loss {reading.loss:.3f}", f"{reading.targets_per_second:,.0f} targets/s"]


class ValidationProgress(pl.Callback):
    """Shows the training, and instead of it each validation with the number of scored targets."""

    def __init__(self, shown: TrainingStage):
        self.shown = shown
        self.validation = ExitStack()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin the stage; the number of batches is known only now."""
        self.shown.begin()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the validation; its total is the number of targets, and each batch advances it."""
        assert isinstance(pl_module, TrainingModule)
        self.validation.enter_context(stage("validating", pl_module.validation.targets, "targets"))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the training again."""
        self.validation.close()
