"""The composition root of training: from a checked config and a claimed run directory to results."""

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import pytorch_lightning as pl
import torch
import yaml

from textloom.batching.batches import training_batches
from textloom.config import TrainConfig
from textloom.data.normalization import normalize_text
from textloom.errors import ConfigError
from textloom.evaluation.evaluate import evaluate_run
from textloom.generation.generate import default_prompt, window_of
from textloom.generation.prompts import unknown_pieces
from textloom.models.recurrent import parameter_count
from textloom.runs.checkpoints import load_model
from textloom.runs.run import Run
from textloom.system.cpu import denormals_flushed
from textloom.system.devices import check_devices, choose_device
from textloom.system.files import read_json, write_checked_text, write_json, write_text
from textloom.system.progress import shown
from textloom.system.ranks import Ranks
from textloom.training.advice import Ending, advice
from textloom.training.callbacks.samples import Sampler
from textloom.training.defaults import OpenConfig, complete_config
from textloom.training.distributed.processes import Workers
from textloom.training.fitting import Fit, Fitted, fit_with_rollbacks
from textloom.training.loggers import check_loggers
from textloom.training.memory import explained_shortage
from textloom.training.ngram import count
from textloom.training.precision import check_precision, choose_precision
from textloom.training.preparation import Prepared, prepare
from textloom.training.signals import StopRequest
from textloom.training.stopping import patience_is_over
from textloom.training.tensorboard import write_results
from textloom.training.trainer import refuse_arguments_without_effect

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trained:
    """What a training gives back."""

    results: dict[str, float]
    """The figures of the best checkpoint, and what they cost."""
    sample: str
    """A text of the best checkpoint, at the first of the temperatures."""
    stopped: str | None = None
    """Why the training ended before it was complete; None if it is complete."""
    advice: str | None = None
    """What to change if the model learned too little."""


@denormals_flushed()
def train(
    config: TrainConfig,
    run: Run,
    overrides: list[str],
    callbacks: Sequence[pl.Callback] = (),
) -> Trained:
    """Train, or go on with what the run directory holds, and write everything that it should hold.

    ``overrides`` are what the user typed.
    ``callbacks`` come after the run's own, when all that a validation gives is saved.

    Raises DataError if the text cannot be used, TrainingError if the loss is no longer a number, Interrupted
    where the process was asked to stop.
    """
    began = time.perf_counter() - run.seconds_worked  # as if one process had done all the work
    if not run.overrides_file.exists():  # runs made before may have them
        refuse_arguments_without_effect(config.trainer.extra)
    check_loggers(config.logger)
    device = choose_device(config.trainer.accelerator)
    check_devices(config.trainer.devices, device)
    with (
        shown(config.trainer.progress_bar),
        StopRequest(seconds=config.trainer.time_limit) as request,
        explained_shortage(config, run),
        Workers(config.trainer) as workers,
    ):
        check_precision(config, device)
        _write_config(config, run)
        if not run.overrides_file.exists():  # a resumed run keeps what it was made by
            write_text(run.overrides_file, yaml.safe_dump(overrides, allow_unicode=True))
        prepared = prepare(config, run, device.type)
        config = _completed(config, prepared, run, device, workers.size)
        precision = _precision(config, run, device)
        prompt = config.samples.prompt
        if prompt is None:
            prompt = default_prompt(prepared.tokenizer, prepared.splits["train"].tokens)
        prompt = normalize_text(prompt, config.data.normalization)
        if config.samples.prompt and (unknown := unknown_pieces(prepared.tokenizer, prompt)):
            log.warning("samples.prompt: not in the vocabulary, read as <unk>: %s", " ".join(map(repr, unknown)))
        sampler = Sampler(config.samples, prepared.tokenizer, prompt, window_of(config.batching), run.samples_file)
        if config.model.is_ngram:
            tokenizer, splits = prepared.tokenizer, prepared.splits
            results, texts = count(config, config.model, run, tokenizer, splits, sampler, began)
            return Trained(results, texts[config.samples.temperatures[0]])
        if workers.size > 1:  # refused here rather than by each of them
            alike = Ranks(size=workers.size)
            training_batches(config.batching, prepared.splits["train"], config.trainer.rows, config.seed, alike)
        ranks = workers.meet(run, device.type, precision)
        fit = Fit(config, run, prepared, sampler, request, device, precision, ranks, callbacks)
        fitted = fit_with_rollbacks(fit)
    with shown(config.trainer.progress_bar), explained_shortage(config, run):
        return _close(fit, fitted, began)


def _completed(config: TrainConfig, prepared: Prepared, run: Run, device: torch.device, ranks: int) -> TrainConfig:
    """Replace the keys that the config leaves open by numbers, log them, and write them into the run."""
    text, vocabulary_size = prepared.splits["train"], prepared.tokenizer.vocabulary_size
    complete, choices = complete_config(OpenConfig(config, text, vocabulary_size, device, ranks))
    for choice in choices:
        log.info("%s", choice)
    if complete != config:
        _write_config(complete, run)
    return complete


def _precision(config: TrainConfig, run: Run, device: torch.device) -> str:
    """The number format; a resumed run keeps its own on the same kind of device."""
    made = read_json(run.provenance_file)
    if config.trainer.precision == "auto" and made["precision"] is not None and made["device"] == device.type:
        kept = config.model_copy(update={"trainer": config.trainer.model_copy(update={"precision": made["precision"]})})
        with suppress(ConfigError):  # another machine
            check_precision(kept, device)
            log.info("device: %s, precision: %s (as before)", device.type, made["precision"])
            return str(made["precision"])
    precision, reason = choose_precision(config, device)
    log.info("device: %s, precision: %s (%s)", device.type, precision, reason)
    if made["precision"] is None:
        write_json(run.provenance_file, {**made, "precision": precision})
    return precision


def _write_config(config: TrainConfig, run: Run) -> None:
    values = config.model_dump(mode="json", exclude={"resume"})
    write_checked_text(run.config_file, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def _close(fit: Fit, fitted: Fitted, began: float) -> Trained:
    """Evaluate the best checkpoint, and write the results."""
    assert fit.sampler is not None
    assert fitted.logger is not None
    meter = fitted.module.meter
    cost = fitted.efficiency.figures(meter.total_targets / max(meter.total_seconds, 1e-9))
    log.info("scoring the best checkpoint on every token that is held out")
    figures = evaluate_run(fit.run)
    texts = fit.sampler.write(load_model(fit.run, "best")[2], "best checkpoint")
    # the last point of each curve is the result: the evaluation of the best checkpoint
    write_results(fitted.logger, figures, fitted.trainer.global_step + 1)
    fitted.logger.close()
    results = {
        **figures,
        **cost,
        "parameters": parameter_count(fitted.module.model),
        "vocabulary_size": fit.prepared.tokenizer.vocabulary_size,
        "steps": fitted.trainer.global_step,
        "duration_seconds": time.perf_counter() - began,
        **({"leaky": True} if fit.config.data.leaky else {}),
    }
    write_json(fit.run.results_file, results)
    ending = Ending(figures["val/loss"], fitted.module.last_loss, fitted.module.best_before, _limit(fit, fitted))
    return Trained(
        results,
        texts[fit.config.samples.temperatures[0]],
        _stopped(fit, fitted),
        advice(ending, fit.config, fit.prepared, fit.run),
    )


def _limit(fit: Fit, fitted: Fitted) -> str | None:
    """The key whose value ended the training, None if it stopped early or its time was over."""
    if fitted.trainer.global_step == fit.config.trainer.max_steps:
        return "trainer.max_steps"
    return None if patience_is_over(fitted.trainer) or fit.request.out_of_time else "trainer.max_epochs"


def _stopped(fit: Fit, fitted: Fitted) -> str | None:
    if not fit.request.out_of_time:
        return None
    limit = fit.config.trainer.max_time or fit.config.trainer.extra["max_time"]
    return f"trainer.max_time={limit} is over, after {fitted.trainer.global_step} steps"
