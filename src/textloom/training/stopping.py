"""The end of a training: at its last step, without further improvement, or at its time limit."""

import logging

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping

from textloom.training.lightning_internals import drop_minimum_length, failed_validations

log = logging.getLogger(__name__)


class StopEarly(EarlyStopping):
    """Ends the training after some validations without a better loss; the patience may change in a resumed run."""

    def __init__(self, patience: int):
        super().__init__("val/loss", patience=patience, check_on_train_epoch_end=False)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the reason for the end. Before ``min_epochs`` and ``min_steps`` only the validations are counted."""
        asked_before = trainer.should_stop
        super().on_validation_end(trainer, pl_module)
        if trainer.should_stop and not may_stop(trainer):
            trainer.should_stop = asked_before
        elif failed_validations(self) >= self.patience:
            log.info("stopping early: no better val/loss in %d validations", failed_validations(self))

    def load_state_dict(self, state_dict: dict[str, object]) -> None:
        """Restore the count and the best score of the run; the patience is that of the config."""
        super().load_state_dict({**state_dict, "patience": self.patience})


class EndWithValidation(pl.Callback):
    """Makes Lightning validate once more after the last step, also in the middle of an epoch."""

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Ask Lightning to stop at the last step: it then validates, which it does not at a limit of its own."""
        if limit_reached(trainer):
            trainer.should_stop = True

    def needs_step(self, trainer: pl.Trainer, step: int) -> bool:
        """False: the last step calls the hooks of every callback."""
        return False


def limit_reached(trainer: pl.Trainer) -> bool:
    """True after the last step of ``max_epochs`` or ``max_steps``."""
    last_epoch = trainer.max_epochs is not None and trainer.current_epoch == trainer.max_epochs - 1
    return trainer.global_step == trainer.max_steps or (last_epoch and trainer.is_last_batch)


def may_stop(trainer: pl.Trainer) -> bool:
    """True after the last step, and after any other from ``min_epochs`` and ``min_steps`` on."""
    epochs = trainer.current_epoch + int(trainer.is_last_batch)
    least = epochs >= (trainer.min_epochs or 0) and trainer.global_step >= (trainer.min_steps or 0)
    return least or limit_reached(trainer)


def patience_is_over(trainer: pl.Trainer) -> bool:
    """Return True if early stopping is on and its patience is exhausted."""
    stopping = trainer.early_stopping_callback
    return stopping is not None and failed_validations(stopping) >= stopping.patience


def keys_to_raise(trainer: pl.Trainer) -> list[str]:
    """The keys whose values end the training here; empty if it can continue."""
    reached = {
        "trainer.max_steps": trainer.global_step == trainer.max_steps,
        "trainer.max_epochs": limit_reached(trainer) and trainer.global_step != trainer.max_steps,
        "trainer.early_stopping_patience": patience_is_over(trainer),
    }
    return [key for key, is_reached in reached.items() if is_reached]


def stop_now(trainer: pl.Trainer) -> None:
    """End the training with a validation after this step, even before ``min_epochs`` and ``min_steps``."""
    drop_minimum_length(trainer)
    trainer.should_stop = True
