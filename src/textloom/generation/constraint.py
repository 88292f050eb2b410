"""Texts of a given form: a regular expression, a list of words or a JSON schema, by ``llguidance``.

A grammar says for each text which tokens may come next. It works on the bytes that tokens write, so that it needs a
tokenizer whose tokens write the same bytes everywhere.
"""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from textloom.config import GenerateConfig
from textloom.errors import ConfigError
from textloom.tokenizers import Tokenizer


class Grammar:
    """Lets each row write only what a grammar allows; an adjustment of ``TokenSampler``."""

    def __init__(self, new_matcher: Callable[[], Any], rows: int, vocabulary_size: int):
        self._new_matcher, self._size = new_matcher, vocabulary_size
        self._matchers = [new_matcher() for _ in range(rows)]

    def begin(self, prompts: Sequence[Sequence[int]]) -> None:
        """Reset the constraint of every text; prompts are not constrained."""
        self._matchers = [self._new_matcher() for _ in prompts]

    def apply(self, logits: torch.Tensor) -> None:
        """Change the logits of the next token, (rows, vocabulary)."""
        allowed = np.stack([allowed_tokens(matcher, self._size) for matcher in self._matchers])
        logits.masked_fill_(torch.from_numpy(~allowed).to(logits.device), float("-inf"))

    def note(self, tokens: torch.Tensor) -> None:
        """Note the tokens that were drawn, (rows,)."""
        for matcher, token in zip(self._matchers, tokens.tolist(), strict=True):
            if not matcher.is_stopped():
                matcher.consume_token(token)

    def select(self, rows: torch.Tensor) -> None:
        """Give row k the state of row ``rows[k]``."""
        self._matchers = [self._matchers[row].deep_copy() for row in rows.tolist()]


def allowed_tokens(matcher: Any, vocabulary_size: int) -> np.ndarray:
    """Mask of the tokens that may come next, (vocabulary,) bool; the end of the document if the text is complete."""
    bits = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8), bitorder="little")
    return bits[:vocabulary_size].astype(bool)


def build_grammar(tokenizer: Tokenizer, config: GenerateConfig) -> Callable[[int], Grammar] | None:
    """The grammar that a config asks for, to be built for a number of rows; None for none.

    Raises ConfigError if it cannot be read, if the vocabulary cannot write it, or if the tokenizer does not suit.
    """
    if config.regex is None and config.words is None and config.json_schema is None:
        return None
    key = "regex" if config.regex is not None else "words" if config.words is not None else "json_schema"
    try:
        from llguidance import LLMatcher  # an optional package
    except ImportError as error:
        raise ConfigError(f"{key}: needs llguidance; pip install 'textloom[constrained]'") from error
    library_tokenizer = _library_tokenizer(tokenizer, key)
    if config.json_schema is not None:
        source = LLMatcher.grammar_from_json_schema(_read_schema(config.json_schema))
    else:
        source = LLMatcher.grammar_from_regex(config.regex or _words_pattern(config.words or ()))

    def new_matcher() -> Any:
        return LLMatcher(library_tokenizer, source, log_level=0)

    first = new_matcher()
    if first.is_error():
        reason = " ".join(str(first.get_error()).partition("<state>")[0].split())
        raise ConfigError(f"{key}: cannot be read ({reason}); correct it")
    allowed = np.flatnonzero(allowed_tokens(first, tokenizer.vocabulary_size))
    if set(allowed.tolist()) <= {tokenizer.end_id, tokenizer.unknown_id} and not first.is_accepting():
        raise ConfigError(f"{key}: no token of the vocabulary can begin such a text; give one that the run can write")
    return lambda rows: Grammar(new_matcher, rows, tokenizer.vocabulary_size)


def _words_pattern(words: Sequence[str]) -> str:
    """One word or more of a list, with a space between two."""
    one = "|".join(re.escape(word) for word in words)
    return f"({one})( ({one}))*"


def _read_schema(path: str) -> str:
    try:
        text = Path(path).read_text("utf-8")
        json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"json_schema={path}: cannot be read ({reason}); give a file with a JSON schema") from error
    return text


def _library_tokenizer(tokenizer: Tokenizer, key: str) -> Any:
    from llguidance import LLTokenizer, TokenizerWrapper  # an optional package

    pieces = tokenizer.pieces()
    if pieces is None:
        raise ConfigError(
            f"{key}: the tokens of tokenizer={tokenizer.kind} write other spaces in other places; give a run with "
            "tokenizer=char, byte, bpe or unigram"
        )
    return LLTokenizer(TokenizerWrapper(_Vocabulary(tokenizer, pieces)))


class _Vocabulary:
    """A tokenizer with the interface that llguidance requires."""

    bos_token_id = None

    def __init__(self, tokenizer: Tokenizer, pieces: list[bytes]):
        self._tokenizer = tokenizer
        self.tokens = pieces
        self.eos_token_id = tokenizer.end_id
        self.special_token_ids = [token for token in (tokenizer.unknown_id, tokenizer.end_id) if token is not None]

    def __call__(self, text: bytes) -> list[int]:
        return [*self._tokenizer.encode(text.decode("utf-8", "replace")).tolist()]
