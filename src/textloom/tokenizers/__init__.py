"""Tokenizers: text to token ids and back. Fitted on the training part, saved with the run as ``tokenizer.json``."""

import hashlib
import logging
from collections.abc import Iterable
from pathlib import Path

from textloom.config import (
    ArticleTokenizerConfig,
    ByteTokenizerConfig,
    CharTokenizerConfig,
    PretrainedTokenizerConfig,
    SubwordTokenizerConfig,
    TokenizerConfig,
)
from textloom.errors import RunError
from textloom.reproductions.article_tokenizer import ArticleTokenizer
from textloom.system.files import read_json, write_json
from textloom.tokenizers.base import Tokenizer
from textloom.tokenizers.byte import ByteTokenizer
from textloom.tokenizers.char import CharTokenizer
from textloom.tokenizers.pretrained import PretrainedTokenizer, find_definition
from textloom.tokenizers.subword import BPETokenizer, UnigramTokenizer
from textloom.tokenizers.whitespace import WhitespaceTokenizer
from textloom.tokenizers.word import WordTokenizer

__all__ = ["Tokenizer", "fit_tokenizer", "load_tokenizer", "origin", "save_tokenizer"]

log = logging.getLogger(__name__)

SAMPLE = 10_000  # characters of the text that are encoded and decoded to see what a pretrained tokenizer loses
FORMAT = "textloom tokenizer 1"
CLASSES: dict[str, type[Tokenizer]] = {
    one.level: one
    for one in (
        *(CharTokenizer, ByteTokenizer, WordTokenizer, WhitespaceTokenizer),
        *(BPETokenizer, UnigramTokenizer, PretrainedTokenizer, ArticleTokenizer),
    )
}


def fit_tokenizer(config: TokenizerConfig, documents: Iterable[Iterable[str]]) -> Tokenizer:
    """A tokenizer whose vocabulary is that of the given (training) documents, which are read once.

    A document is one or more pieces, cut anywhere. Raises ConfigError if a pretrained tokenizer cannot be had.
    """
    if isinstance(config, CharTokenizerConfig):
        return CharTokenizer.fit(documents, config.lowercase)
    if isinstance(config, ByteTokenizerConfig):
        return ByteTokenizer()
    if isinstance(config, ArticleTokenizerConfig):
        return ArticleTokenizer.fit(documents, config.lowercase, config.filters)
    if isinstance(config, PretrainedTokenizerConfig):
        pretrained = PretrainedTokenizer.load(config.path)
        _say_what_is_lost(pretrained, "".join(next(iter(documents), "")))
        return pretrained
    if isinstance(config, SubwordTokenizerConfig):
        subwords = BPETokenizer if config.level == "bpe" else UnigramTokenizer
        return subwords.fit(documents, config.lowercase, config.maximum_size)
    words = WordTokenizer if config.level == "word" else WhitespaceTokenizer
    return words.fit(documents, config.lowercase, config.minimum_frequency, config.maximum_size)


def _say_what_is_lost(tokenizer: Tokenizer, text: str) -> None:
    text = text[:SAMPLE]
    if tokenizer.unknown_id not in tokenizer.encode(text) and tokenizer.decode(tokenizer.encode(text)) != text:
        log.warning(
            "tokenizer: it does not give the text back as it was (case, spaces or marks are lost), so that its "
            "bits_per_char are those of an easier text"
        )


def origin(config: TokenizerConfig) -> str | None:
    """A hash of what a tokenizer is made from beside the config and the text. Raises ConfigError if it is absent."""
    if isinstance(config, PretrainedTokenizerConfig):
        return hashlib.sha256(find_definition(config.path).encode()).hexdigest()
    return None


def save_tokenizer(tokenizer: Tokenizer, path: Path) -> None:
    """Write ``tokenizer.json``."""
    write_json(path, {"format": FORMAT, **tokenizer.to_dict()})


def load_tokenizer(path: Path) -> Tokenizer:
    """Read ``tokenizer.json``. Raises RunError if it is missing, damaged or not ours."""
    try:
        content = read_json(path)
        if content.pop("format") != FORMAT:
            raise ValueError
        level = content.pop("level")
        tokenizer = CLASSES[level](**content)
        tokenizer.decode(range(tokenizer.vocabulary_size))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path}: not a tokenizer of textloom; give the tokenizer.json of a run") from error
    return tokenizer
