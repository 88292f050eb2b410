"""Find run directories, and read the files that a comparison needs; damaged runs are reported and skipped."""

import logging
import os
from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from textloom.config import effect_of
from textloom.config.checking import flatten
from textloom.config.suggestions import nearest
from textloom.data.reading.files import expand
from textloom.errors import ConfigError, RunError
from textloom.evaluation.kept import KeptEvaluation, read_kept
from textloom.evaluation.protocols import own_protocol
from textloom.evaluation.signature import tokenizer_of, tokenizer_signature
from textloom.reports.metrics import is_quality
from textloom.runs.run import HAVE_RESULTS, Run
from textloom.tokenizers import load_tokenizer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Record:
    """One run as stored on disk."""

    run: Run
    status: str
    error: str | None
    config: dict[str, Any]
    """Flat keys; empty if the run failed before it wrote its config."""
    results: dict[str, float]
    fingerprint: str
    """The fingerprint of the text and its splits."""
    method: str = ""
    """The protocol of the results, and the methods by which the model adapted to the text."""
    adaptation: dict[str, Any] = field(default_factory=dict)
    """The settings of the adaptation, by names that begin with ``evaluation.``; empty if the model did not adapt."""
    evaluated: bool = False
    """True for figures of ``textloom evaluate``, false for those of ``results.json``."""
    vocabulary: str = ""
    """The tokenizer as signatures identify it, ``KIND.SIZE.HASH``; empty if the run has no results or no tokenizer."""

    @property
    def completed(self) -> bool:
        """True if its results are final."""
        return self.status in HAVE_RESULTS and bool(self.results)

    @property
    def is_ngram(self) -> bool:
        """True if it is an n-gram model."""
        return self.config.get("model.cell") == "ngram"

    @property
    def setting(self) -> dict[str, Any]:
        """The keys that identify the configuration; of an n-gram model, the keys that affect it."""
        if self.is_ngram:
            kept = {key: value for key, value in self.config.items() if key.startswith("tokenizer.")}
            return kept | {"model.cell": f"{int(self.results['order'])}-gram"} | self.adaptation
        return {key: value for key, value in self.config.items() if effect_of(key).makes_rows} | self.adaptation

    @property
    def tokenizer(self) -> tuple[tuple[str, Any], ...]:
        """The tokenizer's keys: runs on one text that agree in them have the same targets."""
        return tuple(sorted((key, value) for key, value in self.config.items() if key.startswith("tokenizer.")))


def require_metric(metric: str, records: Iterable[Record]) -> None:
    """Raises ConfigError, with the nearest name, if runs are completed but none has the metric."""
    completed = [record for record in records if record.completed]
    known = sorted({name for record in completed for name in record.results})
    if completed and metric not in known:
        raise ConfigError(f"metric={metric}: no run has it{nearest(metric, known)}; choose one of {', '.join(known)}")


def find_directories(patterns: Iterable[str]) -> list[Path]:
    """The run directories that the globs or folders match or contain, each once, whatever links lead to it.

    Raises RunError if there is none.
    """
    found: dict[Path, Path] = {}
    for pattern in patterns:
        path = Path(pattern)
        matches = [path] if path.exists() else [match for match in expand(path) if match.exists()]
        if not matches:
            raise RunError(f"runs={pattern}: matches no file; give a run directory, or a glob such as 'outputs/**'")
        runs = [file.parent for match in matches for file in _status_files(match)]
        if not runs:
            raise RunError(
                f"runs={pattern}: no run directory is there (none has a status.json); "
                "give one, or a glob such as 'outputs/**'"
            )
        for run in sorted(runs, key=lambda run: (os.path.realpath(run) != os.path.abspath(run), run)):
            found.setdefault(run.resolve(), run)
    return list(found.values())


def _status_files(match: Path) -> list[Path]:
    if match.is_dir():
        return sorted(match.rglob("status.json"))
    return [match] if match.name == "status.json" else []  # matched by RUN/**


def read_records(directories: Iterable[Path]) -> tuple[list[Record], dict[Path, str]]:
    """The runs, oldest first, and the damaged ones with the reason, which is also logged.

    A run has a record for its results, and one more for each method that it was evaluated by.
    """
    records: list[Record] = []
    damaged = {}
    for directory in directories:
        try:
            record = _read(Run(directory))
            kept = _kept(record.run)
            if record.completed:
                record = replace(record, vocabulary=_vocabulary(record.run, kept))
            records += [record, *_evaluated(record, kept)]
        except RunError as error:
            log.warning("skipped: %s", error)
            damaged[directory] = str(error)
    started = {record.run.directory: str(record.run.status().get("started", "")) for record in records}
    return sorted(_with_vocabularies(records), key=lambda record: started[record.run.directory]), damaged


def _read(run: Run) -> Record:
    status = run.status()
    config = run.config() if run.config_file.exists() else None
    error = status.get("error")
    return Record(
        run,
        str(status.get("status", "unknown")),
        str(error).partition("\n")[0] if error else None,
        flatten(config.model_dump()) if config is not None else {},
        run.results(),
        run.data_fingerprint(),
        str(own_protocol(config)) if config is not None else "",
    )


def _kept(run: Run) -> list[KeptEvaluation]:
    try:
        return read_kept(run)
    except RunError as error:  # its results are still valid
        log.warning("passed over: %s", error)
        return []


def _vocabulary(run: Run, evaluations: list[KeptEvaluation]) -> str:
    """From the signature of the run's own results, or from its tokenizer's file if there is none."""
    for kept in evaluations:
        if kept.own:
            return tokenizer_of(next(iter(kept.signatures.values()), ""))
    try:
        return tokenizer_signature(load_tokenizer(run.tokenizer_file))
    except RunError:
        return ""


def _with_vocabularies(records: list[Record]) -> list[Record]:
    """The records, with a key ``tokenizer.vocabulary`` where equal tokenizer keys led to several for one text.

    This happens if the file behind ``tokenizer.path`` was changed between two runs.
    """
    found: defaultdict[Hashable, set[str]] = defaultdict(set)
    for record in records:
        if record.vocabulary:
            found[record.fingerprint, record.tokenizer].add(record.vocabulary)
    return [
        replace(record, config={**record.config, "tokenizer.vocabulary": record.vocabulary or "unknown"})
        if record.completed and len(found[record.fingerprint, record.tokenizer]) > 1
        else record
        for record in records
    ]


def _evaluated(record: Record, evaluations: list[KeptEvaluation]) -> list[Record]:
    """The record with the figures of each evaluation of the best checkpoint by another method."""
    costs = {name: value for name, value in record.results.items() if not is_quality(name)}
    return [
        replace(
            record,
            results=costs | kept.figures,
            fingerprint=kept.fingerprint,
            method=kept.method,
            adaptation=_adaptation(kept),
            evaluated=True,
        )
        for kept in evaluations
        if kept.checkpoint == "best" and not kept.own
    ]


def _adaptation(kept: KeptEvaluation) -> dict[str, Any]:
    """The settings by which rows differ: whether they were tuned, and, if not, the values that were set by hand."""
    if not kept.settings:
        return {}
    shown = {"tuned": kept.tuned} | ({} if kept.tuned else kept.settings)
    return {f"evaluation.{name}": value for name, value in shown.items()}
