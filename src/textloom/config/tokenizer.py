"""The registry of tokenizers, and their config classes, which every command imports."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from textloom.config.section import PathText, Positive, Prose, Section
from textloom.registry import Registry, kind_alias


class TokenizerConfig(Section):
    """A tokenizer, which turns text into tokens.

    Each tokenizer has a config class of its own, with ``kind`` and its other keys, which are the arguments of its
    class method ``fit``.
    """

    model_config = kind_alias("level")
    protocol: ClassVar[str | None] = None
    """The choice of ``data.protocol`` that the tokenizer belongs to; None for any data."""
    kind: str
    """Kind of the tokenizer."""


TOKENIZERS = Registry[TokenizerConfig]("tokenizer", "textloom.tokenizers", key="level", package="textloom.tokenizers")
"""The tokenizers, each with a config class and a ``textloom.tokenizers.Tokenizer``.

Those of textloom are added by name, because NumPy takes long to import; any other module in the package registers its
own.
"""


class CharTokenizerConfig(TokenizerConfig):
    """One token for each character of the training text."""

    kind: Literal["char"]
    lowercase: bool
    """Fold the text to lower case first."""


class ByteTokenizerConfig(TokenizerConfig):
    """One token for each byte of the UTF-8 text: no text is unknown."""

    kind: Literal["byte"]


class _WordKeys(TokenizerConfig):
    """A vocabulary of words."""

    lowercase: bool
    """Fold the text to lower case first."""
    minimum_frequency: Positive
    """How often a word must occur in the training text to enter the vocabulary."""
    maximum_size: Annotated[int, Field(ge=4)] | None
    """Most entries that the vocabulary may have, the special ones included; null for no limit."""


class WordTokenizerConfig(_WordKeys):
    """Words and punctuation marks, from which the spaces between them follow."""

    kind: Literal["word"]


class WhitespaceTokenizerConfig(_WordKeys):
    """The strings between white space, as they are, and line ends."""

    kind: Literal["whitespace"]


class _SubwordKeys(TokenizerConfig):
    """Pieces of words made of the bytes of the text: no text is unknown."""

    lowercase: bool
    """Fold the text to lower case first."""
    maximum_size: Annotated[int, Field(ge=258)]
    """Most entries that the vocabulary may have: the 256 bytes, <eos>, and the pieces of several bytes."""


class BPETokenizerConfig(_SubwordKeys):
    """Pieces of words by byte-pair encoding."""

    kind: Literal["bpe"]


class UnigramTokenizerConfig(_SubwordKeys):
    """Pieces of words by a unigram model."""

    kind: Literal["unigram"]


class PretrainedTokenizerConfig(TokenizerConfig):
    """A tokenizer that was trained elsewhere."""

    kind: Literal["pretrained"]
    path: Annotated[PathText, Field(min_length=1)]
    """A tokenizer.json, a folder that has one, or a Hub id such as gpt2."""


class ArticleTokenizerConfig(TokenizerConfig):
    """Keras's words, as in "Recurrent Neural Networks by Example in Python"; for data.protocol=article alone."""

    protocol: ClassVar[str | None] = "article"
    kind: Literal["article"]
    lowercase: bool
    """Fold the text to lower case first."""
    filters: Prose
    """Characters that count as spaces."""


TOKENIZERS.add(CharTokenizerConfig, "textloom.tokenizers.char:CharTokenizer")
TOKENIZERS.add(ByteTokenizerConfig, "textloom.tokenizers.byte:ByteTokenizer")
TOKENIZERS.add(WordTokenizerConfig, "textloom.tokenizers.word:WordTokenizer")
TOKENIZERS.add(WhitespaceTokenizerConfig, "textloom.tokenizers.whitespace:WhitespaceTokenizer")
TOKENIZERS.add(BPETokenizerConfig, "textloom.tokenizers.subword:BPETokenizer")
TOKENIZERS.add(UnigramTokenizerConfig, "textloom.tokenizers.subword:UnigramTokenizer")
TOKENIZERS.add(PretrainedTokenizerConfig, "textloom.tokenizers.pretrained:PretrainedTokenizer")
TOKENIZERS.add(ArticleTokenizerConfig, "textloom.reproductions.article_tokenizer:ArticleTokenizer")
