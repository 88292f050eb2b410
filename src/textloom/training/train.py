"""The composition root of training: from a checked config and a claimed run directory to results."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import log as natural_log

import pytorch_lightning as pl
import torch
import yaml

from textloom.checkpoints import load_model
from textloom.config import TrainConfig
from textloom.data.batching import training_batches
from textloom.data.module import TokenDataModule
from textloom.errors import DivergenceError
from textloom.evaluation.evaluate import evaluate_run
from textloom.files import write_checked_text, write_json, write_text
from textloom.generation.generate import default_prompt, window_of
from textloom.hardware import check_devices, choose_device, choose_precision
from textloom.models.recurrent import RecurrentLanguageModel, parameter_count
from textloom.ranks import Ranks
from textloom.runs import Run
from textloom.training.distributed import RankModule
from textloom.training.memory import explained_shortage
from textloom.training.meter import Meter
from textloom.training.module import TrainingModule
from textloom.training.preparation import Prepared, prepare
from textloom.training.processes import Workers
from textloom.training.resume import newest_checkpoint
from textloom.training.samples import Sampler
from textloom.training.signals import StopRequest
from textloom.training.tensorboard import RunLogger, declare_hyperparameters
from textloom.training.trainer import build_trainer, check_extra

log = logging.getLogger(__name__)

EXPLOSION = 10  # a loss this many times that of guessing has diverged


@dataclass(frozen=True)
class Trained:
    """What a training gives back."""

    results: dict[str, float]
    """The figures of the best checkpoint, and what they cost."""
    sample: str
    """A text of the best checkpoint, at the first of the temperatures."""


def train(config: TrainConfig, run: Run, overrides: list[str], compared: list[str] | None = None) -> Trained:
    """Train, or go on with what the run directory holds, and write everything that it should hold.

    ``overrides`` are what the user typed; TensorBoard compares the run by those in ``compared`` (None: by all).

    Raises DataError where the text cannot be used, TrainingError where the loss is no longer a number, Interrupted
    where the process was asked to stop.
    """
    began = time.perf_counter()
    check_extra(config.trainer.extra)
    device = choose_device(config.trainer.accelerator)
    check_devices(config.trainer.devices, device)
    with StopRequest() as request, explained_shortage(config, run), Workers(config.trainer) as workers:
        precision, reason = choose_precision(config.trainer.precision, device)
        write_checked_text(
            run.config_file,
            yaml.safe_dump(config.model_dump(mode="json", exclude={"resume"}), sort_keys=False, allow_unicode=True),
        )
        if not run.overrides_file.exists():  # a resumed run keeps what it was made by
            write_text(run.overrides_file, yaml.safe_dump(overrides, allow_unicode=True))
        prepared = prepare(config, run, device.type, precision)
        log.info("device: %s, precision: %s (%s)", device.type, precision, reason)
        prompt = config.samples.prompt or default_prompt(prepared.tokenizer, prepared.splits["train"].tokens)
        unknown = dict.fromkeys(prepared.tokenizer.unknown(prompt))
        if unknown:
            log.warning("samples.prompt: not in the vocabulary, read as <unk>: %s", " ".join(map(repr, unknown)))
        sampler = Sampler(config.samples, prepared.tokenizer, prompt, window_of(config.batching), run.samples_file)
        shown = yaml.safe_load(run.overrides_file.read_text("utf-8")) if compared is None else compared
        if workers.size > 1:  # refused here rather than by each of them
            alike = Ranks(size=workers.size)
            training_batches(config.batching, prepared.splits["train"], config.trainer.batch_size, config.seed, alike)
        ranks = workers.meet(run, device.type, precision)
        trainer, module, logger = fit_with_rollbacks(
            Fit(config, run, prepared, sampler, request, device, precision, ranks, shown)
        )
    assert logger is not None
    with explained_shortage(config, run):
        return _close(run, config, trainer, module, logger, sampler, prepared, began)


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
    compared: Sequence[str] = ()


def fit_with_rollbacks(fit: Fit) -> tuple[pl.Trainer, TrainingModule, RunLogger | None]:
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


def _fit(fit: Fit, rate: float) -> tuple[pl.Trainer, TrainingModule, RunLogger | None]:
    config, prepared, ranks = fit.config, fit.prepared, fit.ranks
    pl.seed_everything(config.seed, verbose=False)
    data = TokenDataModule(prepared.splits, config.batching, config.trainer.batch_size, config.seed, ranks)
    model = RecurrentLanguageModel(config.model, prepared.tokenizer.vocabulary_size)
    meter = Meter(largest_loss=EXPLOSION * natural_log(prepared.tokenizer.vocabulary_size), ranks=ranks)
    module = (TrainingModule if ranks.size == 1 else RankModule)(
        model,
        config.optimizer,
        config.schedule,
        total_steps=_total_steps(config, len(data.training)),
        validation=prepared.splits["val"],
        meter=meter,
        rate=rate,
    )
    if isinstance(module, RankModule):
        module.ranks = ranks
    checkpoint = newest_checkpoint(fit.run)
    log.info("model: %s, %s parameters", config.model.cell, f"{parameter_count(model):,}")
    if checkpoint is not None:
        log.info("going on from %s", checkpoint)
    logger = _logger(fit, checkpoint) if ranks.rank == 0 else None
    trainer = build_trainer(
        config.trainer, fit.run, fit.device, fit.precision, meter, fit.sampler, logger, fit.request, ranks
    )
    try:
        trainer.fit(module, data, ckpt_path=checkpoint)
    except BaseException:
        if logger is not None:
            logger.close()
        raise
    return trainer, module, logger


def _logger(fit: Fit, checkpoint: str | None) -> RunLogger:
    if checkpoint is None:
        fit.run.forget_training()
    logger = RunLogger(fit.run.directory, checkpoint)
    if checkpoint is None:
        declare_hyperparameters(logger, fit.config, list(fit.compared))
    return logger


def _total_steps(config: TrainConfig, batches_per_epoch: int) -> int:
    limit = config.trainer.extra.get("limit_train_batches", 1.0)
    batches_per_epoch = min(batches_per_epoch, limit if isinstance(limit, int) else int(limit * batches_per_epoch))
    steps = -(-batches_per_epoch // config.trainer.accumulate_grad_batches) * config.trainer.max_epochs
    return min(steps, config.trainer.max_steps or steps)


def _close(
    run: Run,
    config: TrainConfig,
    trainer: pl.Trainer,
    module: TrainingModule,
    logger: RunLogger,
    sampler: Sampler,
    prepared: Prepared,
    began: float,
) -> Trained:
    """Evaluate the best checkpoint, and write the results."""
    log.info("scoring the best checkpoint on every token of the validation and test parts")
    figures = evaluate_run(run)
    texts = sampler.write(load_model(run, "best")[2], "best checkpoint")
    # the last point of each curve is the result: the evaluation of the best checkpoint
    logger.log_metrics(figures, trainer.global_step + 1)
    logger.close()
    results = {
        **figures,
        "train/targets_per_second": module.meter.total_targets / max(module.meter.total_seconds, 1e-9),
        "parameters": parameter_count(module.model),
        "vocabulary_size": prepared.tokenizer.vocabulary_size,
        "steps": trainer.global_step,
        "duration_seconds": time.perf_counter() - began,
    }
    write_json(run.results_file, results)
    return Trained(results, texts[config.samples.temperatures[0]])
