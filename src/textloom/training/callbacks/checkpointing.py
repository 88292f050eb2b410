"""Writing checkpoints: the best by validation loss, and the last, from which a training resumes bit for bit."""

import logging
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from textloom.config import CheckpointEvery
from textloom.errors import RunError
from textloom.runs.checkpoints import read_checkpoint
from textloom.runs.run import Run
from textloom.system.files import written_whole
from textloom.system.ranks import Ranks
from textloom.training.lightning_internals import (
    batches_done,
    best_score_in,
    is_followed_by_validation,
    restore_best,
)
from textloom.training.signals import StopRequest
from textloom.training.stopping import keys_to_raise, stop_now

log = logging.getLogger(__name__)


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes whole files only: a crash leaves the old checkpoint or the new one. Loading never runs code of a file."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write, flush to the disk, rename; keep the previous last checkpoint."""
        path = Path(path)

        def keep_the_one_before() -> None:
            if path.name == "last.ckpt" and path.exists():
                path.replace(path.with_name("previous.ckpt"))

        with written_whole(path, keep_the_one_before) as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:  # torch raises it for a failed write
                raise OSError("the disk is full, or fails") from error

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Load plain types and tensors only."""
        return read_checkpoint(Path(path))


class BestCheckpoint(ModelCheckpoint):
    """``best.ckpt``: the checkpoint with the lowest validation loss, also after the run directory has moved."""

    def __init__(self, run: Run):
        super().__init__(
            run.checkpoints,
            filename="best",
            monitor="val/loss",
            mode="min",
            enable_version_counter=False,
            save_on_train_epoch_end=False,
        )
        self.file = run.checkpoint_file("best")

    def needs_step(self, trainer: pl.Trainer, step: int) -> bool:
        """False: only validations matter."""
        return False

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the lowest loss, but not the paths, which name the directory where the checkpoint was written.

        The loss in ``best.ckpt`` is lower if that file was written after the checkpoint from which the training
        resumes, at the end of a time limit. If it is missing or damaged, the next validation writes it again.
        """
        try:
            own = best_score_in(read_checkpoint(self.file), self)
        except (RunError, KeyError) as error:
            log.warning("%s\nthe next validation makes a new best checkpoint", error)
            return
        restore_best(
            self, self.file, min(score for score in (own, state_dict["best_model_score"]) if score is not None)
        )


class ResumePoints(Checkpoint):
    """``last.ckpt``: written after each validation, at the configured intervals, and when the training has to stop.

    Written only at points from which Lightning's loops resume exactly: after a whole optimizer step within an epoch, or
    after a validation, when all other callbacks have run.
    """

    def __init__(self, run: Run, every: CheckpointEvery, request: StopRequest, ranks: Ranks):
        self.run = run
        self.every = every
        self.request = request
        self.ranks = ranks
        self.saved_step, self.saved_epoch, self.saved_time = 0, 0, time.monotonic()
        self.ended = False
        self.trained = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End at once if the resumed training had already ended, unless its limits were raised."""
        self.request.training = True
        self.trained = trainer.global_step > 0
        self.request.listen()
        keys = keys_to_raise(trainer) if self.ended else []
        if keys:
            log.info("the training had ended; raise %s to train further", " and ".join(keys))
            trainer.should_stop = True
        self.ended = False

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if it is due and the training can resume from here; end with a validation if the time is up."""
        if not self.trained and trainer.global_step > 0:
            self.trained = True
            if self.ranks.rank == 0:
                self.run.mark_trained()
        if trainer.should_stop or not self.ranks.decide(self._is_time_to_save(trainer, trainer.global_step)):
            return
        if not _is_whole_step(trainer, batch_idx):
            return
        if not is_followed_by_validation(trainer, batch_idx):
            if trainer.is_last_batch:  # training cannot resume from this step, but from the next one
                return
            self._save(trainer)
        self._stop_if_time_is_up(trainer)

    def needs_step(self, trainer: pl.Trainer, step: int) -> bool:
        """True for the first step, and if a checkpoint is due after this one."""
        return not self.trained or self._is_time_to_save(trainer, step)

    def _is_time_to_save(self, trainer: pl.Trainer, step: int) -> bool:
        every = self.every
        return (
            self.request.received is not None
            or self.request.time_is_up
            or (every.steps is not None and step - self.saved_step >= every.steps)
            or (every.epochs is not None and trainer.current_epoch - self.saved_epoch >= every.epochs)
            or (every.minutes is not None and time.monotonic() - self.saved_time >= 60 * every.minutes)
        )

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save, unless accumulated gradients would be lost.

        When the time is up, a checkpoint of this step may have been written before the last validation. It is kept,
        because without a time limit there would have been no validation here.
        """
        if self.request.out_of_time and self.saved_step == trainer.global_step:
            return
        self.ended = trainer.should_stop and not self.request.out_of_time
        if self.ended or _is_whole_step(trainer, batches_done(trainer) - 1):
            self._save(trainer)
            if not self.ended:
                self._stop_if_time_is_up(trainer)

    def _stop_if_time_is_up(self, trainer: pl.Trainer) -> None:
        if self.ranks.decide(self.request.time_is_up):
            self.request.out_of_time = True
            stop_now(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Let a signal stop the process at once from here on: everything is saved."""
        self.request.training = False
        if self.request.received:
            raise self.request.interrupted()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Let a signal stop the process at once."""
        self.request.training = False

    def state_dict(self) -> dict[str, Any]:
        """Whether the training has ended, and when the last checkpoint was written."""
        return {
            "ended": self.ended,
            "saved_step": self.saved_step,
            "saved_epoch": self.saved_epoch,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore them."""
        self.ended = state_dict["ended"]
        self.saved_step, self.saved_epoch = state_dict["saved_step"], state_dict["saved_epoch"]

    def _save(self, trainer: pl.Trainer) -> None:
        self.saved_step, self.saved_epoch, self.saved_time = (
            trainer.global_step,
            trainer.current_epoch,
            time.monotonic(),
        )
        trainer.save_checkpoint(self.run.checkpoint_file("last"))
        if self.ranks.rank == 0:
            self.run.mark_progress()
        if self.request.received and not self.ended:
            raise self.request.interrupted()


def _is_whole_step(trainer: pl.Trainer, batch_idx: int) -> bool:
    """True if no gradients wait for further batches."""
    return trainer.is_last_batch or (batch_idx + 1) % trainer.accumulate_grad_batches == 0
