"""Every use of a private or undocumented part of Lightning.

Nothing else in textloom touches those parts, and ``tests/training/test_lightning_internals.py`` states for each the
behaviour that textloom relies on. Whoever raises the limits of ``pytorch-lightning`` in pyproject.toml runs ``make
test-versions`` and changes this file where a test fails.
"""

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint, WeightAveraging
from pytorch_lightning.loops.fetchers import _DataFetcher
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from pytorch_lightning.plugins.precision import MixedPrecision, Precision
from pytorch_lightning.profilers import PassThroughProfiler
from torch.optim.swa_utils import AveragedModel

from textloom.errors import TrainingError

# --- the loops ------------------------------------------------------------------------------------------------------


def batches_done(trainer: pl.Trainer) -> int:
    """Number of training batches of the current epoch that are done; within a batch's last hook, without that batch."""
    return trainer.fit_loop.epoch_loop.batch_idx + 1


def epoch_number(trainer: pl.Trainer) -> int:
    """Number of the last epoch that was started, from 1; ``current_epoch`` runs ahead when the last one ends."""
    return max(1, trainer.fit_loop.epoch_progress.current.ready)


def is_followed_by_validation(trainer: pl.Trainer, batch_index: int) -> bool:
    """Return True if Lightning validates after this batch of the epoch without being asked to stop."""
    every = trainer.check_val_every_n_epoch
    if every is not None and (trainer.current_epoch + 1) % every:
        return False
    index = trainer.fit_loop.epoch_loop.total_batch_idx if every is None else batch_index
    assert trainer.val_check_batch is not None
    return bool((index + 1) % trainer.val_check_batch == 0)


def drop_minimum_length(trainer: pl.Trainer) -> None:
    """Let the training end before ``min_epochs`` and ``min_steps``."""
    trainer.fit_loop.min_epochs = trainer.fit_loop.epoch_loop.min_steps = None


# --- the trainer ----------------------------------------------------------------------------------------------------


def training_device(trainer: pl.Trainer) -> torch.device:
    """The device of this process."""
    return trainer.strategy.root_device


def add_callbacks(trainer: pl.Trainer, callbacks: Iterable[pl.Callback]) -> None:
    """Add callbacks that are called after all others."""
    trainer.callbacks += callbacks  # type: ignore[attr-defined]


def scale_learning_rate(trainer: pl.Trainer, factor: float) -> None:
    """Multiply the learning rate of the optimizer, and those that its schedule starts from."""
    for group in trainer.optimizers[0].param_groups:
        group["lr"] *= factor
    for config in trainer.lr_scheduler_configs:
        config.scheduler.base_lrs = [rate * factor for rate in config.scheduler.base_lrs]


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Suppress Lightning's advice for other kinds of data, and its notes on settings that are intended."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for library in ("pytorch_lightning", "lightning_fabric"):
            warnings.filterwarnings("ignore", module=library)
        # with dropout between layers cuDNN copies the weights of each layer once a step, which takes microseconds
        warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous chunk of memory")
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def show_model_summary() -> None:
    """Let ``enable_model_summary`` log its table although Lightning is quiet."""
    logging.getLogger("pytorch_lightning.callbacks.model_summary").setLevel(logging.INFO)


# --- callbacks ------------------------------------------------------------------------------------------------------


def failed_validations(stopping: EarlyStopping) -> int:
    """Number of validations in a row without a better result."""
    return stopping.wait_count


def failed_validations_in(checkpoint: dict[str, Any], callback: str) -> int:
    """The same from a checkpoint, of the callback with a class of that name; 0 if it was not in use."""
    return max(
        (state["wait_count"] for key, state in checkpoint["callbacks"].items() if key.startswith(callback)), default=0
    )


def best_score_in(checkpoint: dict[str, Any], callback: ModelCheckpoint) -> torch.Tensor | None:
    """The best score that a ModelCheckpoint had seen. Raises KeyError if the checkpoint has none of its kind."""
    score: torch.Tensor | None = checkpoint["callbacks"][callback.state_key]["best_model_score"]
    return score


def restore_best(callback: ModelCheckpoint, file: Path, score: torch.Tensor) -> None:
    """Make ``file`` with its score the best checkpoint so far."""
    callback.best_model_path = callback.kth_best_model_path = str(file)
    callback.best_model_score = callback.kth_value = score
    callback.best_k_models = {str(file): score}


def averaged_model(callback: WeightAveraging) -> AveragedModel:
    """The copy of the module that holds the averaged weights, once ``setup`` has made it."""
    assert callback._average_model is not None
    return callback._average_model


# --- steps without hooks --------------------------------------------------------------------------------------------

STEP_HOOKS = (
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
)


@runtime_checkable
class SkippableCallback(Protocol):
    """A callback that needs its hooks in some steps only; they are skipped in the others."""

    def needs_step(self, trainer: pl.Trainer, step: int) -> bool:
        """Return True if the hooks must be called in the batch that may become this step (``global_step``)."""


def replace_epoch_loop(trainer: pl.Trainer, may_stop: Callable[[pl.Trainer], bool]) -> None:
    """Give the trainer an ``EpochLoop``.

    ``may_stop`` says whether a training that was asked to stop may do so after this step.

    Raises TrainingError if this Lightning has no such loop.
    """
    try:
        before = trainer.fit_loop.epoch_loop
        trainer.fit_loop.epoch_loop = EpochLoop(trainer, before.min_steps, before.max_steps, may_stop)
    except (AttributeError, TypeError) as error:
        raise TrainingError(
            f"pytorch-lightning {version('pytorch-lightning')}: textloom does not know its loops ({error}); "
            "pip install 'pytorch-lightning>=2.6,<2.7'"
        ) from error


class EpochLoop(_TrainingEpochLoop):
    """Lightning's loop over an epoch, without its hooks in the steps that no callback needs.

    Lightning calls every callback six times a step and wraps each call for its profiler: 0.7 ms on one core, a tenth of
    a step of 128 units. The steps are the same as Lightning's, bit for bit; its counters, and so its checkpoints, are
    the same too. The last batch before a validation, of an epoch, and of the training are always run by Lightning.
    """

    def __init__(
        self, trainer: pl.Trainer, min_steps: int | None, max_steps: int, may_stop: Callable[[pl.Trainer], bool]
    ):
        super().__init__(trainer, min_steps, max_steps)
        self.may_stop = may_stop

    def on_run_start(self, data_fetcher: _DataFetcher) -> None:
        """Decide at the start of an epoch, or of the rest of one, whether steps may be quiet in it."""
        super().on_run_start(data_fetcher)
        self.may_be_quiet = self._may_be_quiet()

    def advance(self, data_fetcher: _DataFetcher) -> None:
        """Run quiet steps as long as no callback needs one, then one step with all hooks."""
        if not self.restarting and self.may_be_quiet:
            while self._next_is_quiet():
                self._quiet_step(data_fetcher)
        super().advance(data_fetcher)

    def _should_check_val_fx(self, data_fetcher: _DataFetcher) -> bool:
        """Validate also after the last step, even in epochs that ``check_val_every_n_epoch`` leaves out."""
        return (self.trainer.should_stop and self.may_stop(self.trainer)) or super()._should_check_val_fx(data_fetcher)

    def _may_be_quiet(self) -> bool:
        """Return True if no callback, profiler, precision or strategy has something to do in every step."""
        trainer = self.trainer
        with_step_hooks = [callback for callback in trainer.callbacks if _has_step_hooks(callback)]
        self.skippable = [callback for callback in with_step_hooks if isinstance(callback, SkippableCallback)]
        return (
            len(self.skippable) == len(with_step_hooks)
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
            or any(callback.needs_step(trainer, step) for callback in self.skippable)
        )

    def _quiet_step(self, data_fetcher: _DataFetcher) -> None:
        """Do what Lightning's ``advance`` does, except for the hooks."""
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


def _has_step_hooks(callback: Any) -> bool:
    return any(getattr(type(callback), hook) is not getattr(pl.Callback, hook) for hook in STEP_HOOKS)


def _is_plain(precision: Precision) -> bool:
    """Return True for float32, or autocast without loss scaling."""
    return type(precision) is Precision or (isinstance(precision, MixedPrecision) and precision.scaler is None)
