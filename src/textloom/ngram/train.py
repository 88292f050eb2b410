"""The counting baseline as a run like any other: config, tokens, a checkpoint, curves of one point, results."""

import logging
import time

import torch

from textloom.config import NgramConfig, TrainConfig
from textloom.data.encoding import Splits
from textloom.models.language_model import NgramLanguageModel
from textloom.ngram.model import NgramModel
from textloom.ngram.score import best_order, fit_order, score_ngrams
from textloom.runs.run import Run
from textloom.system.files import write_json, written_whole
from textloom.tokenizers import Tokenizer
from textloom.training.callbacks.samples import Sampler
from textloom.training.tensorboard import RunLogger, announce, write_results

log = logging.getLogger(__name__)


def count(
    config: TrainConfig, model: NgramConfig, run: Run, tokenizer: Tokenizer, splits: Splits,
    sampler: Sampler, began: float,
) -> tuple[dict[str, float], dict[float, str]]:  # fmt: skip
    """Count n-grams, choose their order on the validation part, and write what a run directory holds.

    Gives back the results and a text for each temperature. A run that was cut is simply counted again.
    """
    start = time.perf_counter()
    vocabulary = tokenizer.vocabulary_size, tokenizer.end_id
    if model.order is None:
        ngrams = best_order(splits, *vocabulary, model.largest_order)
    else:
        ngrams = fit_order(splits["train"].tokens, *vocabulary, model.order)
        if ngrams.order < model.order:
            log.warning("model.order=%d: no document of the training part has so many tokens", model.order)
    seconds = time.perf_counter() - start
    log.info("model: %d-grams, %s parameters", ngrams.order, f"{ngrams.parameters:,}")
    _save(ngrams, run)
    run.mark_trained()
    run.forget_training()
    texts = sampler.write(NgramLanguageModel(ngrams), "best checkpoint")
    figures = {
        name: value for part in ("val", "test") if part in splits
        for name, value in score_ngrams(ngrams, splits[part]).named(part).items()
    }  # fmt: skip
    logger = RunLogger(run.directory)
    announce(logger, config)
    write_results(logger, figures, step=1)
    sampler.show(logger, texts, step=1)
    logger.close()
    results = {
        **figures,
        "train/targets_per_second": splits["train"].targets / max(seconds, 1e-9),
        "parameters": ngrams.parameters,
        "vocabulary_size": tokenizer.vocabulary_size,
        "order": ngrams.order,
        "steps": 1,
        "duration_seconds": time.perf_counter() - began,
    }
    write_json(run.results_file, results)
    return results, texts


def _save(ngrams: NgramModel, run: Run) -> None:
    """Best and last are the same: there is one model."""
    for name in ("best", "last"):
        with written_whole(run.checkpoint_file(name)) as file:
            try:
                torch.save({"state_dict": NgramLanguageModel(ngrams).counts()}, file)
            except RuntimeError as error:  # what torch makes of a write that the disk refused
                raise OSError("the disk is full, or fails") from error
