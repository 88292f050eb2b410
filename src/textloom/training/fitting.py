"""One fit, on one rank: build batches, model and trainer, and train; after a divergence, return to a checkpoint."""

import logging
from math import log as natural_log

import pytorch_lightning as pl

from textloom.batching.batching import Batching
from textloom.config import StreamConfig, TrainConfig
from textloom.errors import DivergenceError
from textloom.models.recurrent import RecurrentLanguageModel, parameter_count
from textloom.system.cpu import memory_kept
from textloom.system.progress import stage
from textloom.training.callbacks.efficiency import Efficiency, flops_per_target
from textloom.training.callbacks.progress import TrainingStage, ValidationProgress
from textloom.training.data_module import TokenDataModule
from textloom.training.distributed.strategy import RankModule
from textloom.training.lightning_internals import add_callbacks, quiet_lightning
from textloom.training.loggers import ExtraLoggers
from textloom.training.meter import Meter
from textloom.training.module import TrainingModule
from textloom.training.objective import Objective
from textloom.training.plan import FitPlan, FitResult
from textloom.training.preparation import singleton_dropout
from textloom.training.regularization import ActivationPenalty
from textloom.training.resume import newest_checkpoint
from textloom.training.start import load_start
from textloom.training.stopping import patience_is_over
from textloom.training.tensorboard import RunLogger, announce
from textloom.training.trainer import build_trainer
from textloom.training.word_vectors import load_word_vectors

log = logging.getLogger(__name__)

TARGETS_THAT_STAND_FOR_ALL = 1 << 20
LARGE_VOCABULARY = 20_000  # from where on a step of a small model is mostly the softmax
EXPLOSION = 10  # a loss above this many times that of a uniform guess has diverged


@memory_kept()
@quiet_lightning()
def fit_with_rollbacks(plan: FitPlan) -> FitResult:
    """Fit; if the loss diverges and the config says so, go back to a checkpoint and halve the learning rate."""
    learning_rate_scale = 1.0
    for rollbacks in range(plan.config.trainer.max_rollbacks + 1):
        try:
            return fit(plan, learning_rate_scale)
        except DivergenceError as error:
            checkpoint = newest_checkpoint(plan.run)
            if plan.config.trainer.on_nan == "stop" or rollbacks == plan.config.trainer.max_rollbacks:
                raise
            learning_rate_scale /= 2
            log.warning(
                "%s\ngoing back to %s, with %g of the learning rate",
                error, checkpoint or "the start", learning_rate_scale,
            )  # fmt: skip
    raise AssertionError("the loop ends by return or raise")


def fit(plan: FitPlan, learning_rate_scale: float = 1.0) -> FitResult:
    """Build batches, model and trainer, and train from the newest checkpoint, if there is one, to the end."""
    pl.seed_everything(plan.config.seed, verbose=False)
    checkpoint = newest_checkpoint(plan.run)
    batches = build_batches(plan)
    module = build_module(plan, batches, learning_rate_scale, resumed=checkpoint is not None)
    if checkpoint is not None:
        log.info("resuming from %s", checkpoint)
    logger = build_logger(plan, checkpoint) if plan.compute.ranks.rank == 0 else None
    efficiency = build_efficiency(plan, batches)
    trainer = build_trainer(plan, module.meter, efficiency, logger)
    shown = TrainingStage(trainer, module.meter)
    add_callbacks(trainer, [ValidationProgress(shown), *plan.callbacks])
    try:
        with stage(shown):
            trainer.fit(module, batches, ckpt_path=checkpoint)
    except BaseException:
        if logger is not None:
            logger.close()
        raise
    return FitResult(
        logger,
        steps=trainer.global_step,
        last_step=trainer.global_step + 1,
        parameters=parameter_count(module.model),
        targets_per_second=module.meter.total_targets / max(module.meter.total_seconds, 1e-9),
        efficiency=efficiency,
        limit=_limit(trainer, plan),
        validation_losses=tuple(module.validation_losses),
    )


def build_batches(plan: FitPlan) -> TokenDataModule:
    """The batches of this rank, in training and in validation."""
    config, text = plan.config, plan.text
    batches = TokenDataModule(text.splits, config.batching, config.trainer.rows, config.seed, plan.compute.ranks)
    batches.training.singleton_dropout = singleton_dropout(config, text)
    return batches


def build_module(plan: FitPlan, batches: TokenDataModule, learning_rate_scale: float, resumed: bool) -> TrainingModule:
    """The LightningModule of a model with new weights; those of a resumed run come from its checkpoint."""
    config, ranks, vocabulary_size = plan.config, plan.compute.ranks, plan.text.tokenizer.vocabulary_size
    assert not config.model.is_ngram
    model = RecurrentLanguageModel(config.model, vocabulary_size)
    if config.start is not None and not resumed:
        load_start(model, plan.run)
    elif config.model.embedding_path is not None and not resumed:
        load_word_vectors(model, config.model, plan.text)
    log.info("model: %s, %s parameters", config.model.kind, f"{parameter_count(model):,}")
    _suggest_sampling(plan)
    module = (TrainingModule if ranks.size == 1 else RankModule)(
        model,
        config.optimizer,
        config.schedule,
        total_steps=total_steps(config, batches.training),
        validation=plan.text.splits["val"],
        meter=Meter(largest_loss=EXPLOSION * natural_log(vocabulary_size), ranks=ranks),
        learning_rate_scale=learning_rate_scale,
        penalty=ActivationPenalty(
            config.trainer.activation_regularization, config.trainer.temporal_activation_regularization
        ),
        objective=Objective.of(config.trainer, vocabulary_size, batches.training.split),
    )
    if isinstance(module, RankModule):
        module.ranks = ranks
    return module


def _suggest_sampling(plan: FitPlan) -> None:
    """Log a faster setting where a CPU scores all words of a large vocabulary in each step."""
    model, size = plan.config.model, plan.text.tokenizer.vocabulary_size
    assert not model.is_ngram
    scores_all = model.softmax_cutoffs is None and plan.config.trainer.softmax_samples is None
    if scores_all and size > LARGE_VOCABULARY and plan.compute.device.type == "cpu":
        log.info(
            "softmax: each step scores all %s entries; trainer.softmax_samples=4096 is faster on a CPU",
            f"{size:,}",
        )


def build_logger(plan: FitPlan, checkpoint: str | None) -> RunLogger:
    """The writer of the run's curves. A new training removes the curves of one that wrote no checkpoint."""
    if checkpoint is None:
        plan.run.remove_untrained()
    logger = RunLogger(plan.run.directory, checkpoint, ExtraLoggers(plan.config, plan.run, checkpoint is not None))
    if checkpoint is None:
        announce(logger, plan.config)
    return logger


def build_efficiency(plan: FitPlan, batches: TokenDataModule) -> Efficiency:
    """The figures of hardware efficiency, computed from targets per second."""
    model, trainer, training = plan.config.model, plan.config.trainer, batches.training
    assert not model.is_ngram
    some = training.split.tokens[:TARGETS_THAT_STAND_FOR_ALL]
    vocabulary_size = plan.text.tokenizer.vocabulary_size
    scored = min(vocabulary_size, trainer.softmax_samples or vocabulary_size)  # the targets beside them are few
    flops = flops_per_target(model, scored, training.steps_per_target, some)
    if trainer.consistency_regularization:
        flops *= 2  # each row is read twice
    return Efficiency(flops, plan.compute.device, plan.compute.precision, plan.compute.ranks.size)


def _limit(trainer: pl.Trainer, plan: FitPlan) -> str | None:
    """The key whose value ended the training; None if it stopped early or reached its time limit."""
    if trainer.global_step == plan.config.trainer.max_steps:
        return "trainer.max_steps"
    return None if patience_is_over(trainer) or plan.request.out_of_time else "trainer.max_epochs"


def total_steps(config: TrainConfig, batching: Batching) -> int:
    """Optimizer steps of a training that nothing ends early."""
    trainer = config.trainer
    limit = trainer.extra.get("limit_train_batches") or 1.0

    def steps_in(epoch: int) -> int:
        batches = batching.batches_in(epoch)
        batches = min(batches, limit if isinstance(limit, int) else int(limit * batches))
        return -(-batches // trainer.accumulate_grad_batches)

    if not (isinstance(config.batching, StreamConfig) and config.batching.random_steps):
        steps = steps_in(0) * trainer.epochs
        return min(steps, trainer.max_steps or steps)
    steps = 0
    for epoch in range(trainer.epochs):
        steps += steps_in(epoch)
        if trainer.max_steps is not None and steps >= trainer.max_steps:
            return trainer.max_steps
    return steps
