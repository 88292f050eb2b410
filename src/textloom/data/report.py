"""The report of ``prepare``: documents, tokens, and how much of the other splits occurs in training."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from textloom.config import PrepareConfig
from textloom.data.cache import REPORT, entry_of
from textloom.data.corpus import Corpus
from textloom.data.encoding import Splits, TokenSplit
from textloom.data.leak import LENGTH, overlap
from textloom.data.protocols import window_protocol
from textloom.errors import RunError
from textloom.system.columns import column_count
from textloom.system.files import read_json, write_json
from textloom.system.progress import stage
from textloom.tokenizers import Tokenizer

SHOWN = 20  # frequent tokens, and rare ones
FEW = 100  # n-grams; a share of fewer is not meaningful
COLUMNS = 80
LABEL = 18  # columns

Report = dict[str, Any]


def write_report(config: PrepareConfig, corpus: Corpus, tokenizer: Tokenizer, splits: Splits) -> Report:
    """Make the report, and write it as ``report.json`` beside the tokens."""
    path = entry_of(corpus, config.tokenizer) / REPORT
    report = make_report(config, corpus, tokenizer, splits, _known_overlap(path))
    write_json(path, report)
    return {**report, "written": str(path)}


def _known_overlap(path: Path) -> Report | None:
    """The overlap from an earlier report on the same text."""
    with suppress(RunError, KeyError, TypeError):
        found: Report = read_json(path)["overlap"]
        return found
    return None


def make_report(
    config: PrepareConfig, corpus: Corpus, tokenizer: Tokenizer, splits: Splits, overlaps: Report | None = None
) -> Report:
    """The report in plain JSON types, the same for the same text. ``overlaps``: those that are known already."""
    frequencies = splits["train"].frequencies(tokenizer.vocabulary_size)
    return {
        **asdict(corpus.facts),
        "near_duplicates_threshold": config.data.near_duplicates,
        "tokenizer": config.tokenizer.model_dump(mode="json"),
        "vocabulary": tokenizer.vocabulary_size,
        "parts": {name: _facts_of(split, corpus.facts.contiguous) for name, split in splits.items()},
        "frequent": [[tokenizer.token_text(i), int(frequencies[i])] for i in _frequent(frequencies)],
        "rare": [[tokenizer.token_text(i), int(frequencies[i])] for i in _rare(frequencies)],
        "overlap": _overlaps(corpus) if overlaps is None else overlaps,
    }


def _overlaps(corpus: Corpus) -> Report:
    training, found = corpus.splits["train"], Report()
    for name, part in corpus.splits.items():
        if name != "train":
            with stage(f"looking for {name} in training", training.size + 2 * part.size, "bytes"):
                found[name] = asdict(overlap(part, training))
    return found


def readable(report: Report) -> str:
    """The report as lines of at most 80 columns; only the file's path and a warning of a leaky protocol are longer."""
    lines = [] if report["article_window"] is None else [window_protocol("article").LEAKY]
    fitted_on = "the training split" if report["article_window"] is None else "all documents"
    lines += _filled("documents", f"{report['documents']:,}  {_duplicates(report)}".split(" "))
    lines += _filled("vocabulary", f"{report['vocabulary']:,}  fitted on {fitted_on}".split(" "))
    for name, part in report["parts"].items():
        counts = [_counted(part[noun], noun) for noun in ("documents", "characters", "tokens")]
        lines += _filled(name, [*counts, f"{part['unknown'] / part['tokens']:.2%} unknown"], ", ")
        lengths = part["lengths"]
        lines += _filled(
            "",
            f"{lengths['min']:,} to {lengths['max']:,} tokens in a document, median {lengths['median']:,.0f}, "
            f"mean {lengths['mean']:,.1f}".split(" "),
        )
    for label, tokens in {"most frequent": report["frequent"], "rare, for example": report["rare"]}.items():
        lines += _filled(label, [f"{text!r} {count:,}" for text, count in tokens], "  ")
    for name, found in report["overlap"].items():
        if found["ngrams"] >= FEW:
            lines += _filled(f"{name} in training", _overlap(found).split(" "))
    if "written" in report:
        lines.append(f"written to {report['written']}")
    return "\n".join(lines)


def _filled(label: str, pieces: Iterable[str], separator: str = " ") -> list[str]:
    """The label, and beside it the pieces, on as many lines as they need."""
    lines, line = [], ""
    for piece in pieces:
        if line and LABEL + column_count(f"{line}{separator}{piece}") > COLUMNS:
            lines.append(line + separator.rstrip())
            line = piece
        else:
            line = f"{line}{separator}{piece}" if line else piece
    return [f"{label if k == 0 else '':{LABEL}}{text}".rstrip() for k, text in enumerate([*lines, line])]


def _counted(number: int, nouns: str) -> str:
    return f"{number:,} {nouns if number != 1 else nouns.removesuffix('s')}"


def _duplicates(report: Report) -> str:
    folded = f"{_counted(report['duplicates_folded'], 'duplicates')} folded"
    threshold = report["near_duplicates_threshold"]
    if threshold is None:
        return f"{folded}; near-duplicates not looked for (data.near_duplicates=0.8 does)"
    return (
        f"{folded}; {_counted(report['near_duplicates'], 'near-duplicates')} of an earlier one (MinHash of word "
        f"5-grams, similarity {threshold:g} or more), each on the same side of the split"
    )


def _overlap(found: dict[str, int]) -> str:
    checked, share = found["checked"], found["found"] / max(1, found["checked"])
    drawn = "" if checked == found["ngrams"] else f", drawn from {found['ngrams']:,}"
    return f"{found['found']:,}  of {checked:,} sequences of {LENGTH} words{drawn} occur there verbatim, {share:.2%}"


def _facts_of(split: TokenSplit, contiguous: bool) -> Report:
    lengths = np.diff(split.boundaries) - (not contiguous)  # without <eos>
    return {
        "documents": split.documents,
        "characters": split.characters,
        "tokens": split.targets,
        "unknown": split.unknown,
        "lengths": {
            "min": int(lengths.min()),
            "median": float(np.median(lengths)),
            "mean": float(lengths.mean()),
            "max": int(lengths.max()),
        },
    }


def _frequent(frequencies: np.ndarray) -> list[int]:
    order = np.argsort(-frequencies, kind="stable")[:SHOWN]
    return [int(i) for i in order if frequencies[i]]


def _rare(frequencies: np.ndarray) -> list[int]:
    """Some of the rarest tokens, spread over the vocabulary."""
    occurring = np.flatnonzero(frequencies)
    rarest = occurring[frequencies[occurring] == frequencies[occurring].min()]
    return [int(rarest[k * len(rarest) // SHOWN]) for k in range(SHOWN)] if len(rarest) > SHOWN else rarest.tolist()
