"""The baselines of a comparison: uniform, unigram and the best n-gram, scored on the targets of a run."""

import hashlib
import json
import logging
import time
from pathlib import Path

import numpy as np

from textloom.config.paths import cache_directory
from textloom.data.documents import SplitName
from textloom.data.encoding import Splits, TokenSplit, load_splits
from textloom.errors import RunError
from textloom.evaluation.score import Score
from textloom.ngram.fit import best_order
from textloom.ngram.model import NgramModel, fit_orders
from textloom.runs.run import Run
from textloom.system.command_hint import as_command
from textloom.system.files import read_json, write_json
from textloom.tokenizers import load_tokenizer

log = logging.getLogger(__name__)

LAYOUT = 1  # of the cache; raised when the counting changes
LARGEST_ORDER = 10
MOST_TARGETS = 20_000_000  # counting more takes minutes and gigabytes, and should be a run of its own

Figures = dict[str, dict[str, float]]
"""Name of the model -> its scores, as in results.json."""


def counting_figures(run: Run, with_ngrams: bool) -> Figures:
    """The baselines of a run; counted once and then cached. Raises RunError if the tokens of the run are damaged.

    Without ``with_ngrams`` only the uniform and the unigram model, which take no time.
    """
    splits, tokenizer = load_splits(run.tokens), load_tokenizer(run.tokenizer_file)
    if splits["val"].windows is not None:
        return {}  # the article's windows: the counts would include the validation targets
    if with_ngrams and splits["train"].targets > MOST_TARGETS:
        raise RunError(
            f"{run.directory}: {splits['train'].targets:,} targets are too many to count here; "
            f"count them once with: {as_command('train')} experiment=ngram and the same data and tokenizer"
        )
    headers = [read_json(run.tokens / f"{name}.json")["tokens_sha256"] for name in splits]
    key = json.dumps([LAYOUT, LARGEST_ORDER, with_ngrams, tokenizer.vocabulary_size, headers])
    file = cache_directory() / "counting" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
    try:
        return read_json(file)
    except RunError:  # missing or damaged
        figures = _count(splits, tokenizer.vocabulary_size, tokenizer.end_id, with_ngrams)
        _keep(file, figures)
        return figures


def _count(splits: Splits, vocabulary_size: int, end_id: int, with_ngrams: bool) -> Figures:
    unigram = next(fit_orders(splits["train"].tokens, vocabulary_size, end_id, 1))
    parts: dict[SplitName, TokenSplit] = {name: part for name, part in splits.items() if name != "train"}
    figures = {
        "uniform": _named({name: _score_uniform(vocabulary_size, part) for name, part in parts.items()}, 0),
        "unigram": _named({name: _score(unigram, part) for name, part in parts.items()}, unigram.parameters),
    }
    if with_ngrams:
        began = time.perf_counter()
        model = best_order(splits, vocabulary_size, end_id, LARGEST_ORDER)
        seconds = time.perf_counter() - began
        if model.order > 1:
            scores = {name: _score(model, part) for name, part in parts.items()}
            speed = {"duration_seconds": seconds, "train/targets_per_second": splits["train"].targets / seconds}
            figures[f"{model.order}-gram"] = _named(scores, model.parameters) | speed
    return figures


def _score(model: NgramModel, split: TokenSplit) -> Score:
    return Score.of(split, *model.score(split.tokens), split.targets)


def _score_uniform(vocabulary_size: int, split: TokenSplit) -> Score:
    """Score if every token of the vocabulary is as likely as any other."""
    nats = split.targets * float(np.log(vocabulary_size))
    return Score.of(split, nats, int((split.tokens[1:] == 0).sum()), split.targets)


def _named(scores: dict[SplitName, Score], parameters: int) -> dict[str, float]:
    named = {key: value for part, score in scores.items() for key, value in score.named(part).items()}
    return named | {"parameters": parameters}


def _keep(file: Path, figures: Figures) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, figures)
    except (OSError, RunError) as error:
        log.info("not cached: %s", error)
