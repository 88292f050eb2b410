"""Tokens that several runs share: encoded once, checked each time, linked into each run's directory."""

import hashlib
import json
import logging
import os
import shutil
from pathlib import Path

from filelock import FileLock

from textloom.config import TokenizerConfig
from textloom.data.corpus import Corpus
from textloom.data.encoding import Splits, encode_corpus, load_splits
from textloom.errors import RunError
from textloom.tokenizers import Tokenizer, fit_tokenizer, load_tokenizer, origin, save_tokenizer

log = logging.getLogger(__name__)

LAYOUT = 1  # raised when tokenizers or files change, so that what older versions encoded is not taken for ours


def cache_directory() -> Path:
    """Where shared tokens lie: ``TEXTLOOM_CACHE``, or ``~/.cache/textloom``."""
    return Path(os.environ.get("TEXTLOOM_CACHE") or Path.home() / ".cache" / "textloom")


def tokenized(corpus: Corpus, config: TokenizerConfig, tokenizer_file: Path, tokens: Path) -> tuple[Tokenizer, Splits]:
    """The corpus's tokenizer and tokens, in these places. Of many processes that ask at once, one encodes.

    A damaged entry of the cache is encoded anew; where there can be no cache, the tokens are encoded in place.
    """
    key = json.dumps([LAYOUT, corpus.fingerprint(), config.model_dump(mode="json"), origin(config)], sort_keys=True)
    entry = cache_directory() / "tokens" / hashlib.sha256(key.encode()).hexdigest()[:32]
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(entry.with_suffix(".lock")):
            _complete(entry, corpus, config)
            _take(entry, tokenizer_file, tokens)
    except (OSError, RunError) as error:
        log.warning("%s: no cache (%s); encoding into the run directory", entry.parent, error)
        _encode(corpus, config, tokenizer_file, tokens)
    return load_tokenizer(tokenizer_file), load_splits(tokens)


def _complete(entry: Path, corpus: Corpus, config: TokenizerConfig) -> None:
    """Encode the entry, unless it is there and whole."""
    if entry.exists():
        try:
            load_tokenizer(entry / "tokenizer.json")
            load_splits(entry)
        except RunError as error:
            log.warning("%s; encoding it anew", error)
            shutil.rmtree(entry)
        else:
            return
    unfinished = entry.with_suffix(".unfinished")  # left by a process that died in the middle, or ours
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    _encode(corpus, config, unfinished / "tokenizer.json", unfinished)
    unfinished.rename(entry)


def _encode(corpus: Corpus, config: TokenizerConfig, tokenizer_file: Path, tokens: Path) -> None:
    tokenizer_file.parent.mkdir(parents=True, exist_ok=True)
    tokenizer = fit_tokenizer(config, corpus.splits["train"])
    save_tokenizer(tokenizer, tokenizer_file)
    encode_corpus(corpus, tokenizer, tokens)


def _take(entry: Path, tokenizer_file: Path, tokens: Path) -> None:
    """Link the files of an entry to where a run wants them; copy them where that is another file system."""
    tokens.mkdir(parents=True, exist_ok=True)
    for source in entry.iterdir():
        target = tokenizer_file if source.name == "tokenizer.json" else tokens / source.name
        target.unlink(missing_ok=True)
        try:
            source.chmod(0o444)  # shared by all runs of this text: nobody writes to it
            target.hardlink_to(source)
        except OSError:
            shutil.copyfile(source, target)
