"""Tokenizers: text to token ids and back. Fitted on the training part, saved with the run as ``tokenizer.json``."""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np

from textloom.config import ByteTokenizerConfig, CharTokenizerConfig, TokenizerConfig
from textloom.errors import RunError
from textloom.files import read_json, write_json
from textloom.tokenizers.byte import ByteTokenizer
from textloom.tokenizers.char import CharTokenizer
from textloom.tokenizers.word import WordTokenizer

FORMAT = "textloom tokenizer 1"


class Tokenizer(Protocol):
    """What the data, generation and evaluation ask of a tokenizer."""

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids, 0 up to this."""

    @property
    def unknown_id(self) -> int | None:
        """The id that stands for all that the vocabulary does not have; None where it has everything."""

    @property
    def end_id(self) -> int:
        """The id that stands between documents: the end of one, the context of the next one's first token."""

    def encode(self, text: str) -> np.ndarray:
        """Token ids, (tokens,) int64."""

    def decode(self, ids: Iterable[int]) -> str:
        """Readable text; ends of documents leave no trace."""

    def unknown(self, text: str) -> list[str]:
        """The pieces of a text that the vocabulary does not have, in order, repeated as they are."""

    def to_dict(self) -> dict[str, object]:
        """All that is needed to build the same tokenizer again, in plain JSON types."""


def fit_tokenizer(config: TokenizerConfig, documents: Iterable[str]) -> Tokenizer:
    """A tokenizer whose vocabulary is that of the given (training) documents."""
    if isinstance(config, CharTokenizerConfig):
        return CharTokenizer.fit(documents, config.lowercase)
    if isinstance(config, ByteTokenizerConfig):
        return ByteTokenizer()
    return WordTokenizer.fit(documents, config.lowercase, config.minimum_frequency, config.maximum_size)


def save_tokenizer(tokenizer: Tokenizer, path: Path) -> None:
    """Write ``tokenizer.json``."""
    write_json(path, {"format": FORMAT, **tokenizer.to_dict()})


def load_tokenizer(path: Path) -> Tokenizer:
    """Read ``tokenizer.json``. Raises RunError where it is missing, damaged or not ours."""
    try:
        content = read_json(path)
        if content.pop("format") != FORMAT:
            raise ValueError
        level = content.pop("level")
        tokenizer: Tokenizer = {"char": CharTokenizer, "byte": ByteTokenizer, "word": WordTokenizer}[level](**content)
        tokenizer.decode(range(tokenizer.vocabulary_size))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path}: not a tokenizer of textloom; give the tokenizer.json of a run") from error
    return tokenizer
