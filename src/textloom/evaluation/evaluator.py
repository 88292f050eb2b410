"""Evaluation of a run by the config of ``textloom evaluate``: protocol, adaptation, tuning on the validation split."""

import logging
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from textloom.batching.batching import Batching
from textloom.batching.stream import Stream
from textloom.config import EvaluateConfig, TrainConfig
from textloom.data.encoding import TokenSplit, load_splits
from textloom.errors import ConfigError
from textloom.evaluation.adaptation import Adaptation, Method, chosen_method
from textloom.evaluation.analysis import write_analysis
from textloom.evaluation.baselines import LARGEST_ORDER
from textloom.evaluation.dynamic import gradient_rms
from textloom.evaluation.evaluate import Evaluation, Tally, device_of, held_out, rows_of, score_by
from textloom.evaluation.kept import KeptEvaluation, keep
from textloom.evaluation.other_text import read_other_text
from textloom.evaluation.predictor import Predictor
from textloom.evaluation.protocol_batches import protocol_batches
from textloom.evaluation.protocols import own_protocol
from textloom.evaluation.score import Score
from textloom.evaluation.signature import signature
from textloom.evaluation.token_scores import TokenScores, check_file, write_token_scores
from textloom.evaluation.tuning import tune
from textloom.models.language_model import LanguageModel
from textloom.ngram.fit import best_order
from textloom.ngram.language_model import NgramLanguageModel
from textloom.runs.checkpoints import load_model
from textloom.runs.find import find_run
from textloom.runs.run import Run
from textloom.system.cpu import denormals_flushed, memory_kept
from textloom.system.files import file_checksum
from textloom.system.progress import stage
from textloom.tokenizers import Tokenizer

log = logging.getLogger(__name__)

NGRAM = "ngram"
TEXT = "text"
"""The name of a text that is not one of the splits, in figures."""


@denormals_flushed()  # as in training
@memory_kept()
def evaluate_as(run: Run, config: EvaluateConfig) -> Evaluation:
    """Scores by the method that a config asks for, with their signatures. The run keeps those of its held-out splits.

    Raises ConfigError if the run cannot be scored in this way, DataError for a text that cannot be scored, RunError if
    a file is missing or damaged.
    """
    file = None if config.per_token is None else check_file(config.per_token)
    if config.analysis and run.is_export:
        raise ConfigError("analysis=true: writes into the run directory, and an export stays as it is; give the run")
    trained, tokenizer, model = load_model(run, config.checkpoint)
    other = _other_model(config, run, tokenizer)
    method = chosen_method(config, trained, None if other is None else other.name)
    if config.tune and not method.adaptation:
        raise ConfigError("tune=true: nothing with settings is switched on; add dynamic=true, cache=true or mix=RUN")
    parts = held_out(run, trained)
    texts = Texts({str(name): part for name, part in parts.items()}, run.data_fingerprint())
    if config.data.path is not None:
        texts = _other_text(config, trained, tokenizer, parts["val"])
    device = device_of(trained)
    scorer = Scorer(model.to(device), rows_of(trained), None if other is None else other.model.to(device))
    if method.adaptation.dynamic is not None:
        scorer.rms = gradient_rms(model, load_splits(run.tokens)["train"], method.adaptation.dynamic.steps)
    if config.tune:
        method = _tuned(scorer, method, _beginning(parts["val"], config.tune_targets))
    found, tokens = _score(scorer, method, texts, tokenizer, per_token=file is not None or config.analysis)
    if file is not None:
        write_token_scores(file, tokens, tokenizer)
    if config.analysis:
        name = method.name if config.data.path is None else f"{TEXT}/{method.name}"  # beside that of the splits
        found |= write_analysis(run.analysis(name), tokens, load_splits(run.tokens)["train"].tokens)
    if config.data.path is None and method != Method(own_protocol(trained)):
        _keep(run, found, config, method)
    return found


@dataclass(frozen=True)
class Texts:
    """The texts that are scored: the held-out splits of the run, or another text."""

    parts: dict[str, TokenSplit]
    fingerprint: str


def _other_text(config: EvaluateConfig, trained: TrainConfig, tokenizer: Tokenizer, validation: TokenSplit) -> Texts:
    """The text of ``data.path``. Its end is a target if the run has learned where a document ends."""
    ends = bool(validation.tokens[-1] == tokenizer.end_id)
    other = read_other_text(config.data, trained, tokenizer, ends)
    return Texts({TEXT: other.split}, other.fingerprint)


def _score(
    scorer: "Scorer", method: Method, texts: Texts, tokenizer: Tokenizer, per_token: bool
) -> tuple[Evaluation, dict[str, TokenScores]]:
    """The figures of all texts; those of each token if they are asked for."""
    figures: dict[str, float] = {}
    signatures: dict[str, str] = {}
    tokens = {name: TokenScores(part) for name, part in texts.parts.items()} if per_token else {}
    for name, part in texts.parts.items():
        with stage(f"scoring the {name}{'' if name == TEXT else ' split'}", part.targets, "targets"):
            figures |= scorer.score(method, part, tokens.get(name)).named(name)
        if name == TEXT and part.unknown:
            log.info(
                "no %s/bits_per_char: %d tokens are unknown, whose spelling the loss leaves out", name, part.unknown
            )
            del figures[f"{name}/bits_per_char"]
        signatures[name] = signature(texts.fingerprint, name, tokenizer, str(method))
    return Evaluation(figures, signatures), tokens


class Scorer:
    """Scores texts by methods; the gradient statistics and the other model are shared by all of them."""

    def __init__(self, model: LanguageModel, rows: int, other: LanguageModel | None = None):
        self.model = model
        self.rows = rows
        self.other = other
        self.rms: list[torch.Tensor] | None = None

    def score(self, method: Method, split: TokenSplit, tokens: TokenScores | None = None) -> Score:
        """The score of every token of a split, added to ``tokens`` too. The trained weights are restored afterwards."""
        if not method.adaptation and tokens is None:
            return score_by(method.protocol, self.model, split, self.rows)
        tally = Tally()
        with closing(Predictor(self.model, method.adaptation, self.other, self.rms)) as predictor:
            for batch, places in method_batches(method, split, self.rows).located():
                for prediction in predictor.predict(batch):
                    tally.count(prediction.nats, prediction.scores.argmax(dim=1), prediction.targets)
                    if tokens is not None:
                        tokens.add(prediction, places[prediction.part])
        return tally.score(split)


def method_batches(method: Method, split: TokenSplit, rows: int) -> Batching:
    """The batches of a protocol; a model that takes gradient steps reads as many tokens as it then learns from."""
    if method.adaptation.dynamic is not None and method.adaptation.dynamic.moves:
        return Stream(split, 1, method.adaptation.dynamic.steps)
    return protocol_batches(method.protocol, split, rows)


def _tuned(scorer: Scorer, method: Method, part: TokenSplit) -> Method:
    """The method with the settings that have the lowest loss on a part of the validation split."""

    def loss(adaptation: Adaptation) -> float:
        return scorer.score(replace(method, adaptation=adaptation), part).loss

    return replace(method, adaptation=tune(method.adaptation, loss))


def _beginning(split: TokenSplit, most: int | None) -> TokenSplit:
    """The first targets of a split, for its loss alone: other figures need counts of the whole."""
    if most is None or most >= split.targets or split.windows is not None:
        return split
    ends = split.boundaries[1:][split.boundaries[1:] < most]
    return replace(split, tokens=split.tokens[: most + 1], boundaries=np.concatenate([[0], ends, [most]]))


def _keep(run: Run, found: Evaluation, config: EvaluateConfig, method: Method) -> None:
    keep(
        run,
        KeptEvaluation(
            method.name,
            found.signatures,
            dict(found),
            run.data_fingerprint(),
            config.checkpoint,
            run.results().get("val/loss"),
            settings=method.adaptation.settings(),
            tuned=config.tune,
        ),
    )


# --- the other model of an interpolation ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Other:
    """A model to interpolate with."""

    name: str
    """Its kind and a hash of its weights, or the order of an n-gram model."""
    model: LanguageModel


def _other_model(config: EvaluateConfig, run: Run, tokenizer: Tokenizer) -> _Other | None:
    """The model that ``mix`` names. Raises ConfigError if it has another vocabulary."""
    if config.mix is None:
        return None
    if config.mix == NGRAM:
        splits = load_splits(run.tokens)
        ngrams = best_order(splits, tokenizer.vocabulary_size, tokenizer.end_id, LARGEST_ORDER)
        return _Other(f"{ngrams.order}-gram", NgramLanguageModel(ngrams).eval())
    found = find_run(config.mix, Path(config.outputs), key="mix")
    trained, vocabulary, model = load_model(found, "best")
    if vocabulary.to_dict() != tokenizer.to_dict():
        raise ConfigError(
            f"mix={config.mix}: has another vocabulary ({vocabulary.kind}, {vocabulary.vocabulary_size:,} tokens) than "
            f"the run ({tokenizer.kind}, {tokenizer.vocabulary_size:,}); give a run with the same text and tokenizer"
        )
    weights = found.weights_file if found.is_export else found.checkpoint_file("best")
    return _Other(f"{trained.model.kind}.{file_checksum(weights)[:8]}", model)
