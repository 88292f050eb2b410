"""Writing checkpoints: the best by validation loss, and the last, from which a training goes on exactly."""

import logging
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning.callbacks import Checkpoint, EarlyStopping, ModelCheckpoint

from textloom.checkpoints import read_checkpoint
from textloom.config import CheckpointEvery
from textloom.files import written_whole
from textloom.ranks import Ranks
from textloom.runs import Run
from textloom.training.signals import StopRequest

log = logging.getLogger(__name__)


class WholeCheckpointIO(TorchCheckpointIO):
    """A crash leaves the old checkpoint or the new one, never a part. Loading never runs code from a file."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write, flush to the disk, rename; the last checkpoint but one is kept."""
        path = Path(path)

        def keep_the_one_before() -> None:
            if path.name == "last.ckpt" and path.exists():
                path.replace(path.with_name("previous.ckpt"))

        with written_whole(path, keep_the_one_before) as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:  # what torch makes of a write that the disk refused
                raise OSError("the disk is full, or fails") from error

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Plain types alone."""
        return read_checkpoint(Path(path))


class BestCheckpoint(ModelCheckpoint):
    """Looks at validations alone."""

    def needs_step(self, trainer: pl.Trainer, step: int) -> bool:
        """No step."""
        return False


def best_checkpoint(run: Run) -> ModelCheckpoint:
    """``best.ckpt``: the lowest validation loss."""
    return BestCheckpoint(
        run.checkpoints,
        filename="best",
        monitor="val/loss",
        mode="min",
        enable_version_counter=False,
        save_on_train_epoch_end=False,
    )


class ResumePoints(Checkpoint):
    """``last.ckpt``: after each validation, every so often as configured, and when the training is asked to stop.

    Written only where Lightning's loops can be taken up again without a difference: after a whole optimizer step, in
    the middle of an epoch, or after a validation, when all other callbacks have seen it.
    """

    def __init__(self, run: Run, every: CheckpointEvery, request: StopRequest, ranks: Ranks):
        self.run = run
        self.every = every
        self.request = request
        self.ranks = ranks
        self.saved_step, self.saved_epoch, self.saved_time = 0, 0, time.monotonic()
        self.ended = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A training that had ended before it was cut has nothing to go on with, unless it may go further now."""
        self.request.training = True
        self.request.listen()
        if self.ended and (_limit_reached(trainer) or _patience_is_over(trainer)):
            log.info("the training had ended; raise trainer.max_epochs or its patience to go further")
            trainer.should_stop = True
        self.ended = False

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save, if it is time to and this is a place to go on from."""
        if trainer.is_last_batch or not self.ranks.decided(self.needs_step(trainer, trainer.global_step)):
            return
        if _is_whole_step(trainer, batch_idx) and not _validation_follows(trainer, batch_idx):
            self._save(trainer)

    def needs_step(self, trainer: pl.Trainer, step: int) -> bool:
        """To save after it."""
        every = self.every
        return (
            self.request.received is not None
            or (every.steps is not None and step - self.saved_step >= every.steps)
            or (every.epochs is not None and trainer.current_epoch - self.saved_epoch >= every.epochs)
            or (every.minutes is not None and time.monotonic() - self.saved_time >= 60 * every.minutes)
        )

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save, unless the gradients of half a step would be lost."""
        batch_idx = trainer.fit_loop.epoch_loop.batch_idx
        self.ended = trainer.should_stop
        if self.ended or _is_whole_step(trainer, batch_idx):
            self._save(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """From here on a signal stops at once: all is saved."""
        self.request.training = False
        if self.request.received:
            raise self.request.interrupted()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """No training goes on that could heed a signal later."""
        self.request.training = False

    def state_dict(self) -> dict[str, Any]:
        """Whether the training was over."""
        return {
            "ended": self.ended,
            "saved_step": self.saved_step,
            "saved_epoch": self.saved_epoch,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.ended = state_dict["ended"]
        self.saved_step, self.saved_epoch = state_dict["saved_step"], state_dict["saved_epoch"]

    def _save(self, trainer: pl.Trainer) -> None:
        self.saved_step, self.saved_epoch, self.saved_time = (
            trainer.global_step,
            trainer.current_epoch,
            time.monotonic(),
        )
        trainer.save_checkpoint(self.run.checkpoint_file("last"))
        if self.request.received and not self.ended:
            raise self.request.interrupted()


class StopEarly(EarlyStopping):
    """Ends the training after some validations without a better loss; the patience may change in a resumed run."""

    def __init__(self, patience: int):
        super().__init__("val/loss", patience=patience, check_on_train_epoch_end=False)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say why, when it is over."""
        super().on_validation_end(trainer, pl_module)
        if self.wait_count >= self.patience:
            log.info("stopping early: no better val/loss in %d validations", self.wait_count)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The count and the best score are the run's, the patience is the config's."""
        super().load_state_dict({**state_dict, "patience": self.patience})


class EndWithValidation(pl.Callback):
    """Lets Lightning validate once more after the last step, wherever in an epoch that is."""

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Lightning validates when it is asked to stop, but not when it reaches its last step."""
        if _limit_reached(trainer):
            trainer.should_stop = True

    def needs_step(self, trainer: pl.Trainer, step: int) -> bool:
        """Only the last, which every callback sees."""
        return False


def _limit_reached(trainer: pl.Trainer) -> bool:
    last_epoch = trainer.max_epochs is not None and trainer.current_epoch == trainer.max_epochs - 1
    return trainer.global_step == trainer.max_steps or (last_epoch and trainer.is_last_batch)


def _patience_is_over(trainer: pl.Trainer) -> bool:
    stopping = trainer.early_stopping_callback
    return stopping is not None and stopping.wait_count >= stopping.patience


def _is_whole_step(trainer: pl.Trainer, batch_idx: int) -> bool:
    """Whether no gradients wait for more batches."""
    return trainer.is_last_batch or (batch_idx + 1) % trainer.accumulate_grad_batches == 0


def _validation_follows(trainer: pl.Trainer, batch_idx: int) -> bool:
    if trainer.should_stop:
        return True
    counted = trainer.fit_loop.epoch_loop.total_batch_idx if trainer.check_val_every_n_epoch is None else batch_idx
    assert trainer.val_check_batch is not None
    return bool((counted + 1) % trainer.val_check_batch == 0)
