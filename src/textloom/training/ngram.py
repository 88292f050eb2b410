"""Training an n-gram model: its run directory has the same files as that of a network, and curves of one point."""

import logging
import time

import torch

from textloom.ngram.fit import best_order, fit_order
from textloom.ngram.language_model import NgramLanguageModel
from textloom.runs.run import Run
from textloom.system.files import written_whole
from textloom.training.loggers import ExtraLoggers
from textloom.training.plan import FitPlan, FitResult
from textloom.training.tensorboard import RunLogger, announce

log = logging.getLogger(__name__)


def fit_ngrams(plan: FitPlan) -> FitResult:
    """Count n-grams, choose their order on the validation split, and write the checkpoints.

    An interrupted run is counted again from the start.
    """
    model, run, splits = plan.config.model, plan.run, plan.text.splits
    assert model.is_ngram
    start = time.perf_counter()
    vocabulary = plan.text.tokenizer.vocabulary_size, plan.text.tokenizer.end_id
    if model.order is None:
        ngrams = best_order(splits, *vocabulary, model.largest_order)
    else:
        ngrams = fit_order(splits["train"].tokens, *vocabulary, model.order)
        if ngrams.order < model.order:
            log.warning("model.order=%d: no document of the training split has so many tokens", model.order)
    seconds = time.perf_counter() - start
    log.info("model: %d-grams, %s parameters", ngrams.order, f"{ngrams.parameters:,}")
    _save(NgramLanguageModel(ngrams), run)
    run.mark_trained()
    run.remove_untrained()
    logger = RunLogger(run.directory, extras=ExtraLoggers(plan.config, run, resumed=False))
    announce(logger, plan.config)
    return FitResult(
        logger,
        steps=1,
        last_step=1,
        parameters=ngrams.parameters,
        targets_per_second=splits["train"].targets / max(seconds, 1e-9),
        order=ngrams.order,
    )


def _save(model: NgramLanguageModel, run: Run) -> None:
    """Write the best and the last checkpoint, which are the same."""
    for name in ("best", "last"):
        with written_whole(run.checkpoint_file(name)) as file:
            try:
                torch.save({"state_dict": model.weights()}, file)
            except RuntimeError as error:  # torch's error when a write fails
                raise OSError("the disk is full, or fails") from error
