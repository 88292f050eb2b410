"""The figures of a trained model, from its run directory alone: what training reports, to the last digit."""

import logging

from textloom.batching.batches import evaluation_batches
from textloom.config import BatchingConfig
from textloom.data.encoding import TokenSplit, load_splits
from textloom.data.spool import SplitName
from textloom.errors import ConfigError, RunError
from textloom.evaluation.scoring import Tally
from textloom.models.language_model import LanguageModel, NgramLanguageModel
from textloom.models.score import Score
from textloom.ngram.score import score_ngrams
from textloom.runs.checkpoints import load_language_model
from textloom.runs.run import CheckpointName, Run
from textloom.system.cpu import denormals_flushed, memory_kept
from textloom.system.devices import choose_device
from textloom.system.progress import stage

log = logging.getLogger(__name__)

EVALUATED: tuple[SplitName, ...] = ("val", "test")


@denormals_flushed()  # as in training
@memory_kept()
def evaluate_run(run: Run, checkpoint: CheckpointName = "best") -> dict[str, float]:
    """Loss, perplexity, bits per character and accuracy of the validation and, where there is one, the test part."""
    config, _, model = load_language_model(run, checkpoint)
    splits = load_splits(run.tokens)
    if config.data.has_test_part and "test" not in splits:
        raise RunError(f"{run.tokens}: the tokens of the test part are missing; give a complete run directory")
    try:
        device = choose_device(config.trainer.accelerator)
    except ConfigError:
        device = choose_device("auto")
        log.info("no %s here: evaluating on %s", config.trainer.accelerator, device.type)
    model = model.to(device)
    rows = 1 if config.model.is_ngram else config.trainer.rows  # n-grams are scored without batches
    figures: dict[str, float] = {}
    for name in EVALUATED:
        if name in splits:
            with stage(f"scoring the {name} part", splits[name].targets, "targets"):
                figures |= score(model, splits[name], config.batching, rows).named(name)
    return figures


def score(model: LanguageModel, split: TokenSplit, batching: BatchingConfig, batch_size: int) -> Score:
    """Every token of a part, once, in float32."""
    if isinstance(model, NgramLanguageModel):
        return score_ngrams(model.ngrams, split)
    tally = Tally()
    for batch in evaluation_batches(batching, split, batch_size).batches(epoch=0):
        tally.add(model, batch.to(model.device))
    return tally.score(split)
