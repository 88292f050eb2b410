"""Training, from a checked config and a claimed run directory to results.

prepare      text to tokens, or the tokens of a resumed run         preparation.py
complete     numbers for the keys that the config leaves open       preparation.py, defaults.py
fit          batches, model, trainer, Lightning's fit               fitting.py (ngram.py counts instead)
finish       evaluate the best checkpoint, write the results        this file
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import pytorch_lightning as pl

from textloom.config import TrainConfig
from textloom.evaluation.evaluate import evaluate_run, keep_own
from textloom.runs.checkpoints import load_model
from textloom.runs.run import Run
from textloom.system.cpu import denormals_flushed
from textloom.system.files import write_json
from textloom.system.progress import shown
from textloom.training.advice import TrainingEnd, advice, last_and_best_before
from textloom.training.callbacks.samples import build_sampler
from textloom.training.compute import check_machine, choose_compute
from textloom.training.distributed.processes import Workers
from textloom.training.fitting import fit_with_rollbacks
from textloom.training.memory import explained_shortage
from textloom.training.ngram import fit_ngrams
from textloom.training.plan import FitPlan, FitResult
from textloom.training.preparation import complete, prepare, record
from textloom.training.signals import StopRequest
from textloom.training.start import start_from
from textloom.training.tensorboard import write_results

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trained:
    """Result of a training."""

    results: dict[str, float]
    """The figures of the best checkpoint, and the cost of the training."""
    sample: str
    """A text of the best checkpoint, at the first of the temperatures."""
    stopped: str | None = None
    """Why the training ended before it was complete; None if it is complete."""
    advice: str | None = None
    """The key to change if the model learned too little; None if there is nothing to say."""


@denormals_flushed()
def train(config: TrainConfig, run: Run, overrides: Sequence[str], callbacks: Sequence[pl.Callback] = ()) -> Trained:
    """Train a new run, or resume one from its newest checkpoint, and write every file of the run directory.

    ``overrides`` are those of the user; ``callbacks`` are called after the run's own, once the results of a validation
    are saved. Raises DataError if the text cannot be used, TrainingError if the loss is no longer a number,
    Interrupted if the process was asked to stop.
    """
    began = time.perf_counter() - run.seconds_worked  # includes the time of earlier processes of a resumed run
    device = check_machine(config, run)
    with (
        shown(config.trainer.progress_bar),
        StopRequest(seconds=config.trainer.time_limit) as request,
        explained_shortage(config, run),
        Workers(config.trainer) as workers,
    ):
        config = start_from(config, run, overrides)
        record(config, overrides, run)
        text = prepare(config, run, device.type)
        config = complete(config, text, run, workers.size)
        compute = choose_compute(config, text, run, workers)
        sampler = build_sampler(config, text, run)
        plan = FitPlan(config, run, text, compute, request, sampler, callbacks)
        result = fit_ngrams(plan) if config.model.is_ngram else fit_with_rollbacks(plan)
    with shown(config.trainer.progress_bar), explained_shortage(config, run):
        return finish(plan, result, began)


def finish(plan: FitPlan, result: FitResult, began: float) -> Trained:
    """Evaluate the best checkpoint, and write the results."""
    assert plan.sampler is not None
    assert result.logger is not None
    costs = {"train/targets_per_second": result.targets_per_second}
    if result.efficiency is not None:
        costs = result.efficiency.figures(result.targets_per_second)
    log.info("scoring the best checkpoint on every token that is held out")
    try:
        figures = evaluate_run(plan.run)
        texts = plan.sampler.write(load_model(plan.run, "best")[2], "best checkpoint")
        copied = plan.sampler.memorization(texts, plan.text.splits["train"].tokens)
        plan.sampler.show_memorization(result.logger, copied, result.last_step)
        write_results(result.logger, figures, result.last_step)
        if plan.config.model.is_ngram:
            plan.sampler.show(result.logger, texts, result.last_step)
    except BaseException:
        result.logger.finalize("failed")
        raise
    finally:
        result.logger.close()
    results = {
        **figures,
        **costs,
        "parameters": result.parameters,
        "vocabulary_size": plan.text.tokenizer.vocabulary_size,
        **({} if result.order is None else {"order": result.order}),
        "steps": result.steps,
        "duration_seconds": time.perf_counter() - began,
        **({"leaky": True} if plan.config.data.leaky else {}),
    }
    write_json(plan.run.memorization_file, {str(key): found.to_dict() for key, found in copied.items()})
    write_json(plan.run.results_file, results)
    keep_own(plan.run, figures)
    sample = texts[plan.config.samples.temperatures[0]]
    ending = TrainingEnd(figures["val/loss"], *last_and_best_before(result.validation_losses), result.limit)
    to_change = None if plan.config.model.is_ngram else advice(ending, plan.config, plan.text, plan.run)
    return Trained(results, sample, _stopped(plan, result), to_change)


def _stopped(plan: FitPlan, result: FitResult) -> str | None:
    if not plan.request.out_of_time:
        return None
    limit = plan.config.trainer.max_time or plan.config.trainer.extra["max_time"]
    return f"trainer.max_time={limit} is over, after {result.steps} steps"
