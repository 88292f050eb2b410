"""The cache of tokens, shared by all runs: encoded once, checked at each use, linked into each run's directory."""

import hashlib
import importlib.metadata
import json
import logging
import shutil
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock

from textloom.config import DataConfig, TokenizerConfig
from textloom.config.paths import cache_directory
from textloom.data.corpus import Corpus, Facts, build_corpus
from textloom.data.documents import SplitName
from textloom.data.encoding import Splits, encode_corpus, load_splits
from textloom.data.notes import Notes
from textloom.data.sources import file_states, read_source, source_checksum
from textloom.data.spool import DocumentSet
from textloom.errors import DataError, RunError
from textloom.system.files import read_json, write_json
from textloom.system.progress import stage
from textloom.tokenizers import Tokenizer, fit_tokenizer, load_tokenizer, origin, save_tokenizer

log = logging.getLogger(__name__)

TOKENIZER, REPORT = "tokenizer.json", "report.json"

Used = TypeVar("Used")


def load_corpus(config: DataConfig) -> Corpus:
    """Read, fold and split the documents of a source; the facts of a text that was read before come from the cache.

    Raises DataError if the source cannot be read or a split is left empty.
    """
    before = file_states(config)
    known = cache_directory() / "corpora" / f"{_key(source_checksum(config))}.json"
    try:
        known.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(known.with_suffix(".lock")):
            with suppress(RunError, TypeError, KeyError):  # missing or damaged
                return _remembered(read_json(known), config)
            corpus, notes = _read(config)
            _refuse_changed(before, config)
            with suppress(RunError):
                write_json(known, {"facts": asdict(corpus.facts), "notes": notes.lines})
            return corpus
    except OSError:  # the cache cannot be written
        return _read(config)[0]


def load_or_encode_into(
    corpus: Corpus, config: TokenizerConfig, tokenizer_file: Path, tokens: Path
) -> tuple[Tokenizer, Splits]:
    """The tokenizer and tokens of a corpus, linked to these places.

    If several processes ask at the same time, one of them encodes, and the others wait. A damaged entry of the cache is
    encoded again; if the cache cannot be written, the tokens are encoded in place.
    """
    entry = entry_of(corpus, config)
    try:
        return _whole(entry, corpus, config, lambda: _take(entry, tokenizer_file, tokens))
    except (OSError, RunError) as error:
        log.warning("%s: no cache (%s); encoding into the run directory", entry.parent, error)
        _encode(corpus, config, tokenizer_file, tokens)
    return load_tokenizer(tokenizer_file), load_splits(tokens)


def load_or_encode(corpus: Corpus, config: TokenizerConfig) -> tuple[Tokenizer, Splits]:
    """The tokenizer and tokens of a corpus in the cache. Raises RunError if it cannot be written."""
    entry = entry_of(corpus, config)
    try:
        return _whole(entry, corpus, config, lambda: (load_tokenizer(entry / TOKENIZER), load_splits(entry)))
    except OSError as error:
        raise RunError(
            f"{entry}: cannot be written ({error.strerror}); make room, or set TEXTLOOM_CACHE to another folder"
        ) from error


def load_or_fit_tokenizer(corpus: Corpus, config: TokenizerConfig) -> Tokenizer:
    """The tokenizer of a corpus, from the cache if it is there."""
    with suppress(RunError):
        return load_tokenizer(entry_of(corpus, config) / TOKENIZER)
    return fit_tokenizer(config, corpus.splits["train"].documents())


def entry_of(corpus: Corpus, config: TokenizerConfig) -> Path:
    """The cache's folder for a corpus encoded with a tokenizer; it may not exist yet."""
    made_from = (corpus.facts.fingerprint, corpus.facts.contiguous, config.model_dump(), origin(config))
    return cache_directory() / "tokens" / _key(*made_from)


def _key(*parts: object) -> str:
    """The cache key: a hash of the inputs and of the code version."""
    return hashlib.sha256(json.dumps([_code_version(), *parts], sort_keys=True).encode()).hexdigest()[:32]


@cache
def _code_version() -> str:
    """A hash of all code between the source and the tokens, and of the versions of the libraries that it uses."""
    package, digest = Path(__file__).parents[1], hashlib.sha256()
    folders = ("data", "tokenizers", "reproductions")
    for path in sorted(path for folder in folders for path in (package / folder).rglob("*.py")):
        digest.update(path.read_bytes())
    for library in ("datasets", "pyarrow", "datasketch", "regex", "tokenizers"):
        digest.update(importlib.metadata.version(library).encode())
    digest.update(unicodedata.unidata_version.encode())
    return digest.hexdigest()


def _read(config: DataConfig, notes: Notes | None = None) -> tuple[Corpus, Notes]:
    """The corpus and the notes of its reading; lines that ``notes`` has already are not logged again."""
    with stage("reading the text", unit="bytes"):
        source = read_source(config, notes)
        corpus = build_corpus(source, config, cache_directory())
    source.normalizer.report(source.notes)
    return corpus, source.notes


def _remembered(known: dict[str, Any], config: DataConfig) -> Corpus:
    """A corpus whose facts come from the cache; the notes of its first reading are logged again."""
    facts, notes = Facts(**known["facts"]), Notes(known["notes"])
    notes.repeat()

    def read_again() -> dict[SplitName, DocumentSet]:
        corpus, _ = _read(config, notes)
        if corpus.facts.fingerprint != facts.fingerprint:
            raise DataError("data: a file changed while it was read; start again when it is complete")
        return corpus.splits

    return Corpus(facts, read_again)


def _refuse_changed(before: list[tuple[str, int, int]], config: DataConfig) -> None:
    changed = sorted({name for name, _, _ in set(before) ^ set(file_states(config))})
    if changed:
        raise DataError(f"{changed[0]}: changed while it was read; start again when it is complete")


def _whole(entry: Path, corpus: Corpus, config: TokenizerConfig, use: Callable[[], Used]) -> Used:
    """Call ``use`` and return its result, after encoding the entry if it is missing or damaged."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(entry.with_suffix(".lock")):
        if entry.exists():
            try:
                return use()
            except RunError as error:
                log.warning("%s; encoding it again", error)
                shutil.rmtree(entry)
        _complete(entry, corpus, config)
        return use()


def _complete(entry: Path, corpus: Corpus, config: TokenizerConfig) -> None:
    """Encode the entry."""
    unfinished = entry.with_suffix(".unfinished")  # perhaps left by a process that was killed
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    _encode(corpus, config, unfinished / TOKENIZER, unfinished)
    unfinished.rename(entry)


def _encode(corpus: Corpus, config: TokenizerConfig, tokenizer_file: Path, tokens: Path) -> None:
    tokenizer_file.parent.mkdir(parents=True, exist_ok=True)
    with stage("fitting the tokenizer", corpus.splits["train"].size, "bytes"):
        tokenizer = load_or_fit_tokenizer(corpus, config)
    save_tokenizer(tokenizer, tokenizer_file)
    encode_corpus(corpus, tokenizer, tokens)


def _take(entry: Path, tokenizer_file: Path, tokens: Path) -> tuple[Tokenizer, Splits]:
    """Link the files of an entry into a run; copy them if the run is on another file system.

    Raises RunError if they are damaged.
    """
    tokens.mkdir(parents=True, exist_ok=True)
    for source in entry.iterdir():
        if source.name == REPORT:
            continue
        target = tokenizer_file if source.name == TOKENIZER else tokens / source.name
        target.unlink(missing_ok=True)
        try:
            source.chmod(0o444)  # shared by all runs on this text, so read-only
            target.hardlink_to(source)
        except OSError:
            shutil.copyfile(source, target)
    return load_tokenizer(tokenizer_file), load_splits(tokens)
