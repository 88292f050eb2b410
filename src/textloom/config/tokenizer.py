"""How text becomes tokens."""

from typing import Annotated, Literal

from pydantic import Field

from textloom.config.section import PathText, Positive, Prose, Section


class CharTokenizerConfig(Section):
    """One token for each character of the training text."""

    level: Literal["char"]
    lowercase: bool
    """Fold the text to lower case first."""


class ByteTokenizerConfig(Section):
    """One token for each byte of the UTF-8 text: no text is unknown."""

    level: Literal["byte"]


class WordTokenizerConfig(Section):
    """Words and punctuation marks, spaces following from them; or all that stands between white space, as it is."""

    level: Literal["word", "whitespace"]
    lowercase: bool
    """Fold the text to lower case first."""
    minimum_frequency: Positive
    """How often a word must occur in the training text to enter the vocabulary."""
    maximum_size: Annotated[int, Field(ge=4)] | None
    """Most entries that the vocabulary may have, the special ones included; null for no limit."""


class ArticleTokenizerConfig(Section):
    """Keras's words, as in "Recurrent Neural Networks by Example in Python"; for data.protocol=article alone."""

    level: Literal["article"]
    lowercase: bool
    """Fold the text to lower case first."""
    filters: Prose
    """Characters that count as spaces."""


class SubwordTokenizerConfig(Section):
    """Pieces of words made of the bytes of the text, by byte-pair encoding or a unigram model: no text is unknown."""

    level: Literal["bpe", "unigram"]
    lowercase: bool
    """Fold the text to lower case first."""
    maximum_size: Annotated[int, Field(ge=258)]
    """Most entries that the vocabulary may have: the 256 bytes, <eos>, and the pieces of several bytes."""


class PretrainedTokenizerConfig(Section):
    """A tokenizer that others trained."""

    level: Literal["pretrained"]
    path: Annotated[PathText, Field(min_length=1)]
    """A tokenizer.json, a folder that has one, or a Hub id such as gpt2."""


TokenizerConfig = Annotated[
    CharTokenizerConfig
    | ByteTokenizerConfig
    | WordTokenizerConfig
    | SubwordTokenizerConfig
    | PretrainedTokenizerConfig
    | ArticleTokenizerConfig,
    Field(discriminator="level"),
]
