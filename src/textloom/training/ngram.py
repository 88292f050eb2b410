"""Training an n-gram model: its run directory has the same files as that of a network, and curves of one point."""

import logging
import time

import torch

from textloom.config import NgramConfig, TrainConfig
from textloom.data.encoding import Splits
from textloom.evaluation.evaluate import EVALUATED, score
from textloom.ngram.fit import best_order, fit_order
from textloom.ngram.language_model import NgramLanguageModel
from textloom.runs.run import Run
from textloom.system.files import write_json, written_whole
from textloom.tokenizers import Tokenizer
from textloom.training.callbacks.samples import Sampler
from textloom.training.loggers import ExtraLoggers
from textloom.training.tensorboard import RunLogger, announce, write_results

log = logging.getLogger(__name__)


def count(
    config: TrainConfig, model: NgramConfig, run: Run, tokenizer: Tokenizer, splits: Splits,
    sampler: Sampler, began: float,
) -> tuple[dict[str, float], dict[float, str]]:  # fmt: skip
    """Count n-grams, choose their order on the validation split, and write the files of a run directory.

    Returns the results and a text for each temperature. An interrupted run is counted again from the start.
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
    counted = NgramLanguageModel(ngrams)
    _save(counted, run)
    run.mark_trained()
    run.forget_training()
    texts = sampler.write(counted, "best checkpoint")
    figures = {
        name: value for split in EVALUATED if split in splits
        for name, value in score(counted, splits[split], config.batching, 1).named(split).items()
    }  # fmt: skip
    logger = RunLogger(run.directory, extras=ExtraLoggers(config, run, resumed=False))
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


def _save(model: NgramLanguageModel, run: Run) -> None:
    """Write the best and the last checkpoint, which are the same."""
    for name in ("best", "last"):
        with written_whole(run.checkpoint_file(name)) as file:
            try:
                torch.save({"state_dict": model.weights()}, file)
            except RuntimeError as error:  # torch's error when a write fails
                raise OSError("the disk is full, or fails") from error
