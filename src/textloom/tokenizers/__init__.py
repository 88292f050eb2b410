"""Tokenizers: text to token ids and back. Fitted on the training split, saved with the run as ``tokenizer.json``.

A module of this package registers a tokenizer, and so does a plugin::

    class LetterTokenizerConfig(TokenizerConfig):
        kind: Literal["letters"]
        lowercase: bool

    @TOKENIZERS.register(LetterTokenizerConfig)
    @dataclass(frozen=True)
    class LetterTokenizer(Tokenizer):
        kind: ClassVar[str] = "letters"
        ...
"""

from collections.abc import Iterable
from pathlib import Path

from textloom.config.tokenizer import TOKENIZERS, TokenizerConfig
from textloom.errors import RunError
from textloom.system.files import read_json, write_json
from textloom.tokenizers.base import Tokenizer

__all__ = ["Tokenizer", "fit_tokenizer", "load_tokenizer", "origin", "save_tokenizer"]

FORMAT = "textloom tokenizer 1"


def fit_tokenizer(config: TokenizerConfig, documents: Iterable[Iterable[str]]) -> Tokenizer:
    """A tokenizer whose vocabulary is that of the given (training) documents, which are read once.

    A document is one or more pieces, cut anywhere. Raises ConfigError if a pretrained tokenizer cannot be had.
    """
    tokenizer: Tokenizer = _class_of(config.kind).fit(documents, **_arguments(config))
    return tokenizer


def origin(config: TokenizerConfig) -> str | None:
    """A hash of further inputs of a tokenizer, besides config and text. Raises ConfigError if they are absent."""
    return _class_of(config.kind).origin(**_arguments(config))


def save_tokenizer(tokenizer: Tokenizer, path: Path) -> None:
    """Write ``tokenizer.json``."""
    write_json(path, {"format": FORMAT, **tokenizer.to_dict()})


def load_tokenizer(path: Path) -> Tokenizer:
    """Read ``tokenizer.json``. Raises RunError if it is missing, damaged or not ours."""
    try:
        content = read_json(path)
        if content.pop("format") != FORMAT:
            raise ValueError
        kind = content.pop("level")
        if not isinstance(kind, str):
            raise ValueError
        if kind not in TOKENIZERS.names:
            raise RunError(f"{path}: its tokenizer '{kind}' is not here; {TOKENIZERS.cure(TOKENIZERS.names)}")
        tokenizer = _class_of(kind)(**content)
        tokenizer.decode(range(tokenizer.vocabulary_size))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path}: not a tokenizer of textloom; give the tokenizer.json of a run") from error
    return tokenizer


def _class_of(kind: str) -> type[Tokenizer]:
    target: type[Tokenizer] = TOKENIZERS.target(kind)
    return target


def _arguments(config: TokenizerConfig) -> dict[str, object]:
    return {name: getattr(config, name) for name in type(config).model_fields if name != "kind"}
