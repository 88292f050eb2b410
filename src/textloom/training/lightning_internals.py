"""Lightning's loop over an epoch, without its hooks in the steps that nobody looks at.

Lightning asks every callback six times a step and wraps each call for its profiler: 0.7 ms on one core, a tenth of a
step of 128 units. Between two points of a curve, two redraws of the bar and so on there is nothing to ask.
"""

from typing import Any, Protocol, runtime_checkable

import pytorch_lightning as pl
from pytorch_lightning.loops.fetchers import _DataFetcher
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from pytorch_lightning.plugins.precision import MixedPrecision, Precision
from pytorch_lightning.profilers import PassThroughProfiler

from textloom.training.stopping import may_stop

STEP_HOOKS = (
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
)


@runtime_checkable
class Patient(Protocol):
    """A callback that need not see every step."""

    def needs_step(self, trainer: pl.Trainer, step: int) -> bool:
        """Whether its hooks must be called for the batch that may become this optimizer step (``global_step``)."""


class EpochLoop(_TrainingEpochLoop):
    """The same steps as Lightning's, bit for bit; its counters, and so its checkpoints, are the same too.

    The last batch before a validation, of an epoch, and of the training always take Lightning's own way.
    """

    def on_run_start(self, data_fetcher: _DataFetcher) -> None:
        """An epoch starts, or goes on."""
        super().on_run_start(data_fetcher)
        self.may_be_quiet = self._may_be_quiet()

    def advance(self, data_fetcher: _DataFetcher) -> None:
        """Some quiet steps, and one that all callbacks see."""
        if not self.restarting and self.may_be_quiet:
            while self._next_is_quiet():
                self._quiet_step(data_fetcher)
        super().advance(data_fetcher)

    def _should_check_val_fx(self, data_fetcher: _DataFetcher) -> bool:
        """Also after the last step, in epochs that ``check_val_every_n_epoch`` leaves out too."""
        return (self.trainer.should_stop and may_stop(self.trainer)) or super()._should_check_val_fx(data_fetcher)

    def _may_be_quiet(self) -> bool:
        """Whether nothing was asked for that happens in every step."""
        trainer = self.trainer
        looking = [callback for callback in trainer.callbacks if _looks_at_steps(callback)]
        self.patient = [callback for callback in looking if isinstance(callback, Patient)]
        return (
            len(self.patient) == len(looking)
            and trainer.world_size == 1
            and isinstance(trainer.profiler, PassThroughProfiler)
            and _is_plain(trainer.precision_plugin)
        )

    def _next_is_quiet(self) -> bool:
        trainer, step = self.trainer, self.global_step + 1
        batches = self.batch_progress.current.ready + 1
        counted = batches if trainer.check_val_every_n_epoch is not None else self.batch_progress.total.ready + 1
        return not (
            batches >= trainer.num_training_batches
            or counted % trainer.val_check_batch == 0
            or step == self.max_steps
            or any(callback.needs_step(trainer, step) for callback in self.patient)
        )

    def _quiet_step(self, data_fetcher: _DataFetcher) -> None:
        """What Lightning's ``advance`` does, less the hooks."""
        trainer, module, optimizer = self.trainer, self.trainer.lightning_module, self.trainer.optimizers[0]
        progress = self.automatic_optimization.optim_progress.optimizer
        index = self.batch_idx + 1
        batch = next(data_fetcher)[0].to(module.device)
        self.batch_progress.is_last_batch = False
        self.batch_progress.increment_ready()
        self.batch_progress.increment_started()
        with trainer.precision_plugin.train_step_context():
            loss = module.training_step(batch, index)
        if index % trainer.accumulate_grad_batches == 0:
            for parameter in module.trained:
                parameter.grad = None
            progress.zero_grad.increment_ready()
            progress.zero_grad.increment_started()
            progress.zero_grad.increment_completed()
        if trainer.accumulate_grad_batches > 1:
            loss = loss / trainer.accumulate_grad_batches
        loss.backward()
        if not self._should_accumulate():
            module.configure_gradient_clipping(optimizer, trainer.gradient_clip_val, trainer.gradient_clip_algorithm)
            progress.step.increment_ready()
            optimizer.step()
            progress.step.increment_completed()
            self._batches_that_stepped += 1
        self.batch_progress.increment_processed()
        self.update_lr_schedulers("step", update_plateau_schedulers=False)
        self.batch_progress.increment_completed()


def _looks_at_steps(callback: Any) -> bool:
    return any(getattr(type(callback), hook) is not getattr(pl.Callback, hook) for hook in STEP_HOOKS)


def _is_plain(precision: Precision) -> bool:
    """Float32, or autocast without a scaling of the loss."""
    return type(precision) is Precision or (isinstance(precision, MixedPrecision) and precision.scaler is None)
