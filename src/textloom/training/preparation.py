"""Prepare a training: its config, its tokenizer and its tokens, made from the source or read from a run."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from textloom.batching.singletons import SingletonDropout
from textloom.config import TrainConfig
from textloom.data.cache import load_corpus, load_or_encode_into, load_or_fit_tokenizer
from textloom.data.corpus import READING, Corpus, Facts
from textloom.data.encoding import Splits, encode_corpus, load_splits
from textloom.data.suitability import warn_if_unsuited
from textloom.errors import DataError, RunError
from textloom.reproductions.article import LEAKY
from textloom.runs.provenance import provenance, source_provenance
from textloom.runs.run import Run
from textloom.system.devices import choose_device
from textloom.system.files import read_json, write_checked_text, write_json, write_text
from textloom.tokenizers import Tokenizer, load_tokenizer
from textloom.training.defaults import OpenConfig, complete_config
from textloom.training.start import start_facts

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EncodedText:
    """The text of a training as tokens."""

    tokenizer: Tokenizer
    splits: Splits


def record(config: TrainConfig, overrides: Sequence[str], run: Run) -> None:
    """Write the config and the overrides of the user into the run; a resumed run keeps its first overrides."""
    _write_config(config, run)
    if not run.overrides_file.exists():
        write_text(run.overrides_file, yaml.safe_dump(list(overrides), allow_unicode=True))


def prepare(config: TrainConfig, run: Run, device: str) -> EncodedText:
    """Read, split and encode the text, and record where it came from; or load the tokens of a resumed run.

    Raises DataError if the text cannot be used, RunError if a resumed run was made from another text.
    """
    if run.provenance_file.exists():  # written last, so its presence implies the rest
        _refuse_other_text(config, run)
        text, facts = EncodedText(load_tokenizer(run.tokenizer_file), load_splits(run.tokens)), None
    else:
        corpus = load_corpus(config.data)
        text = EncodedText(*_encode(corpus, config, run))
        made = provenance(corpus.facts.fingerprint, device) | start_facts(run)
        write_json(run.provenance_file, {**made, "reading": READING, **source_provenance(config.data)})
        facts = corpus.facts
        _log_source(facts)
    _log_splits(text, config)
    _log_singletons(text, config)
    warn_if_unsuited(config.data, text.tokenizer, text.splits, facts)
    return text


def _encode(corpus: Corpus, config: TrainConfig, run: Run) -> tuple[Tokenizer, Splits]:
    """The tokens of a corpus; a run that starts from another one uses that one's tokenizer."""
    if config.start is None:
        return load_or_encode_into(corpus, config.tokenizer, run.tokenizer_file, run.tokens)
    tokenizer = load_tokenizer(run.tokenizer_file)
    encode_corpus(corpus, tokenizer, run.tokens)
    return tokenizer, load_splits(run.tokens)


def complete(config: TrainConfig, text: EncodedText, run: Run, ranks: int) -> TrainConfig:
    """Replace the keys that the config leaves open by numbers, log them, and write them into the run."""
    device = choose_device(config.trainer.accelerator)
    complete, choices = complete_config(
        OpenConfig(config, text.splits["train"], text.tokenizer.vocabulary_size, device, ranks)
    )
    for choice in choices:
        log.info("%s", choice)
    if complete != config:
        _write_config(complete, run)
    return complete


def singleton_dropout(config: TrainConfig, text: EncodedText) -> SingletonDropout | None:
    """The training words to drop; None if the config drops none. Raises ConfigError without ``<unk>``."""
    probability = config.batching.singleton_dropout
    return SingletonDropout(probability, text.splits["train"], text.tokenizer, config.seed) if probability else None


def _write_config(config: TrainConfig, run: Run) -> None:
    values = config.model_dump(mode="json", exclude={"resume"})
    write_checked_text(run.config_file, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def _refuse_other_text(config: TrainConfig, run: Run) -> None:
    made = read_json(run.provenance_file)
    recorded = made["data_fingerprint"]
    if config.data.piped:
        log.info("data: read from a pipe, which cannot be checked again; the run's own tokens are used")
        return
    if made.get("reading") != READING:
        log.info("data: read by another version of textloom, so the source is not checked; the run's tokens are used")
        return
    try:
        corpus = load_corpus(config.data)
    except DataError as error:
        log.warning("%s\nthe source is not checked; the run's own tokens are complete, and are used", error)
        return
    if corpus.facts.fingerprint != recorded:
        raise RunError(
            f"{run.directory}: the text has changed since the run was made: its fingerprint was {recorded[:12]}, "
            f"and is {corpus.facts.fingerprint[:12]} now; restore the text, or train a new run"
        )
    if config.tokenizer.kind == "pretrained" or config.start is not None:
        return  # the tokenizer was not fitted on this text, and its file may have been deleted
    tokenizer = load_or_fit_tokenizer(corpus, config.tokenizer)
    if tokenizer.to_dict() != load_tokenizer(run.tokenizer_file).to_dict():
        raise RunError(
            f"{run.tokenizer_file}: not the tokenizer of this text: {tokenizer.vocabulary_size} entries are expected, "
            f"{load_tokenizer(run.tokenizer_file).vocabulary_size} are there; restore it, or train a new run"
        )


def _log_source(facts: Facts) -> None:
    if facts.article_window is not None:
        log.warning("data: %s", LEAKY)
    if facts.contiguous:
        log.info("data: one document, cut in order")
    else:
        log.info("data: %d documents, %d duplicates folded", facts.documents, facts.duplicates_folded)


def _log_splits(text: EncodedText, config: TrainConfig) -> None:
    several = any(part.documents > 1 for part in text.splits.values())
    rows = [
        (
            name,
            f"{part.documents:,} {'documents' if part.documents > 1 else 'document' + ' ' * several}",
            f"{part.characters:,}",
            f"{part.targets:,}",
            f"{100 * part.unknown / part.targets:.2f} %",
        )
        for name, part in text.splits.items()
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]  # no wider than needed, for a terminal
    for row in rows:
        aligned = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        log.info("  %s %s %s characters %s targets %s unknown", *aligned)
    size = f"{text.tokenizer.vocabulary_size:,}"
    fitted_on = "all documents" if config.data.leaky else "the training split"
    origin = f"fitted on {fitted_on}" if config.start is None else f"that of {config.start}"
    log.info("tokenizer: %s entries in the vocabulary, %s", size, origin)


def _log_singletons(text: EncodedText, config: TrainConfig) -> None:
    dropout = singleton_dropout(config, text)
    if dropout is None:
        return
    once, key = len(dropout.singletons), "batching.singleton_dropout"
    if not once:
        log.warning("%s: no word occurs once in the training split; set tokenizer.minimum_frequency=1", key)
        return
    share = 100 * once / text.splits["train"].targets
    log.info(
        "%s: %s words occur once (%.2f %% of the training targets); each is <unk> in %g %% of the epochs",
        key, f"{once:,}", share, 100 * dropout.probability,
    )  # fmt: skip
