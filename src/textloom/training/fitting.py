"""One training from its parts, on one rank: the loop, and going back where the loss diverges."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from math import log as natural_log

import pytorch_lightning as pl
import torch

from textloom.batching.batches import Batching
from textloom.config import ModelConfig, TrainConfig
from textloom.errors import DivergenceError
from textloom.models.recurrent import RecurrentLanguageModel, parameter_count
from textloom.runs.run import Run
from textloom.system.cpu import memory_kept
from textloom.system.progress import stage
from textloom.system.ranks import Ranks
from textloom.training.callbacks.efficiency import Efficiency, flops_per_target
from textloom.training.callbacks.progress import TrainingStage, ValidationProgress
from textloom.training.callbacks.samples import Sampler
from textloom.training.data_module import TokenDataModule
from textloom.training.distributed.strategy import RankModule
from textloom.training.lightning_internals import add_callbacks, quiet_lightning
from textloom.training.loggers import ExtraLoggers
from textloom.training.meter import Meter
from textloom.training.module import TrainingModule
from textloom.training.preparation import Prepared
from textloom.training.resume import newest_checkpoint
from textloom.training.signals import StopRequest
from textloom.training.tensorboard import RunLogger, announce
from textloom.training.trainer import build_trainer

log = logging.getLogger(__name__)

TARGETS_THAT_STAND_FOR_ALL = 1 << 20
EXPLOSION = 10  # a loss this many times that of guessing has diverged


@dataclass(frozen=True)
class Fit:
    """All that a training is made of."""

    config: TrainConfig
    run: Run
    prepared: Prepared
    sampler: Sampler | None
    """None for all ranks but the first, which alone writes."""
    request: StopRequest
    device: torch.device
    precision: str
    ranks: Ranks
    callbacks: Sequence[pl.Callback] = ()
    """Of the first rank, after the run's own, when all that a validation gives is saved."""


@dataclass(frozen=True)
class Fitted:
    """What became of it."""

    trainer: pl.Trainer
    module: TrainingModule
    efficiency: Efficiency
    logger: RunLogger | None
    """Of rank 0 alone."""


@memory_kept()
@quiet_lightning()
def fit_with_rollbacks(fit: Fit) -> Fitted:
    """Fit; where the loss diverges and the config says so, go back and on with half the learning rate."""
    rate = 1.0
    for rollbacks in range(fit.config.trainer.max_rollbacks + 1):
        try:
            return _fit(fit, rate)
        except DivergenceError as error:
            checkpoint = newest_checkpoint(fit.run)
            if fit.config.trainer.on_nan == "stop" or rollbacks == fit.config.trainer.max_rollbacks:
                raise
            rate /= 2
            log.warning("%s\ngoing back to %s, with %g of the learning rate", error, checkpoint or "the start", rate)
    raise AssertionError("the loop ends by return or raise")


def _fit(fit: Fit, rate: float) -> Fitted:
    config, prepared, ranks = fit.config, fit.prepared, fit.ranks
    assert not config.model.is_ngram  # n-grams are counted elsewhere
    pl.seed_everything(config.seed, verbose=False)
    data = TokenDataModule(prepared.splits, config.batching, config.trainer.rows, config.seed, ranks)
    model = RecurrentLanguageModel(config.model, prepared.tokenizer.vocabulary_size)
    meter = Meter(largest_loss=EXPLOSION * natural_log(prepared.tokenizer.vocabulary_size), ranks=ranks)
    module = (TrainingModule if ranks.size == 1 else RankModule)(
        model,
        config.optimizer,
        config.schedule,
        total_steps=total_steps(config, len(data.training)),
        validation=prepared.splits["val"],
        meter=meter,
        rate=rate,
    )
    if isinstance(module, RankModule):
        module.ranks = ranks
    checkpoint = newest_checkpoint(fit.run)
    log.info("model: %s, %s parameters", config.model.kind, f"{parameter_count(model):,}")
    if checkpoint is not None:
        log.info("going on from %s", checkpoint)
    logger = _logger(fit, checkpoint) if ranks.rank == 0 else None
    efficiency = _efficiency(fit, config.model, data.training)
    trainer = build_trainer(
        config.trainer, fit.run, fit.device, fit.precision, meter, efficiency, fit.sampler, logger, fit.request, ranks
    )
    shown = TrainingStage(trainer, meter)
    add_callbacks(trainer, [ValidationProgress(shown), *fit.callbacks])
    try:
        with stage(shown):
            trainer.fit(module, data, ckpt_path=checkpoint)
    except BaseException:
        if logger is not None:
            logger.close()
        raise
    return Fitted(trainer, module, efficiency, logger)


def _efficiency(fit: Fit, model: ModelConfig, training: Batching) -> Efficiency:
    some = training.split.tokens[:TARGETS_THAT_STAND_FOR_ALL]
    flops = flops_per_target(model, fit.prepared.tokenizer.vocabulary_size, training.steps_per_target, some)
    return Efficiency(flops, fit.device, fit.precision, fit.ranks.size)


def _logger(fit: Fit, checkpoint: str | None) -> RunLogger:
    if checkpoint is None:
        fit.run.forget_training()
    logger = RunLogger(fit.run.directory, checkpoint, ExtraLoggers(fit.config, fit.run, checkpoint is not None))
    if checkpoint is None:
        announce(logger, fit.config)
    return logger


def total_steps(config: TrainConfig, batches_per_epoch: int) -> int:
    """Optimizer steps of a training that nothing ends early."""
    limit = config.trainer.extra.get("limit_train_batches") or 1.0
    batches_per_epoch = min(batches_per_epoch, limit if isinstance(limit, int) else int(limit * batches_per_epoch))
    steps = -(-batches_per_epoch // config.trainer.accumulate_grad_batches) * config.trainer.epochs
    return min(steps, config.trainer.max_steps or steps)
