"""The interface of tokenizers: text to token ids and back, in pieces of bounded size."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import regex

UNKNOWN, END = "<unk>", "<eos>"
WHITE_SPACE = r"[\s\x1c-\x1f]"
"""Character class of all that str.isspace() accepts; ``regex`` leaves out the last four."""
SPACE = regex.compile(WHITE_SPACE)


class Encoded(NamedTuple):
    """A text as tokens."""

    ids: np.ndarray
    """(tokens,) in the smallest unsigned type that holds the vocabulary."""
    unknown: list[str]
    """The pieces of the text that the vocabulary lacks, in order, with repetitions."""


class EncodedDocuments(NamedTuple):
    """Whole documents as tokens, each followed by ``end_id``."""

    ids: np.ndarray
    """(tokens,) of all of them end to end."""
    unknown: list[str]
    """The pieces of the texts that the vocabulary lacks, in order, with repetitions."""
    lengths: np.ndarray
    """(documents,) tokens of each, its end included."""


class Tokenizer(ABC):
    """A tokenizer, immutable once it is fitted."""

    kind: ClassVar[str]
    """Its name in the config, and in ``tokenizer.json``."""
    block: ClassVar[int] = 1 << 17
    """Characters that are encoded at once, few enough for the processor's cache."""
    writes_spaces: ClassVar[bool] = True
    """True if decoding writes the spaces between words."""

    @classmethod
    @abstractmethod
    def fit(cls, documents: Iterable[Iterable[str]], *args: Any, **keys: Any) -> Self:
        """Fit a tokenizer to documents, each in pieces. ``keys`` are those of the config except ``kind``."""

    @classmethod
    def origin(cls, *args: Any, **keys: Any) -> str | None:
        """A hash of further inputs besides the documents and the config's keys; None if there are none."""
        return None

    @property
    @abstractmethod
    def vocabulary_size(self) -> int:
        """Number of token ids, 0 up to this."""

    @property
    @abstractmethod
    def unknown_id(self) -> int | None:
        """The id of everything that the vocabulary lacks; None if it lacks nothing."""

    @property
    @abstractmethod
    def end_id(self) -> int:
        """The id between documents: the end of one, and the context of the first token of the next."""

    @abstractmethod
    def decode(self, ids: Iterable[int]) -> str:
        """The text of token ids; ends of documents are left out."""

    def pieces(self) -> list[bytes] | None:
        """The bytes that each token writes; None if they depend on the tokens around it."""
        return None

    def token_text(self, token: int) -> str:
        """A token in reports: its text, or the name of a special token."""
        return {self.unknown_id: UNKNOWN, self.end_id: END}.get(token) or self.decode([token])

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The content of ``tokenizer.json`` in plain JSON types: ``level`` and the arguments of the constructor."""

    @abstractmethod
    def safe_cut(self, text: str) -> tuple[str, str]:
        """Cut a text in two, so that the tokens of both parts together are those of the whole.

        A space that no token stands for may be left out between them. The first is empty if there is no such place.
        """

    @abstractmethod
    def _encode(self, text: str) -> Encoded:
        """The tokens of a text that is short enough to be held in memory several times."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest unsigned type that holds the vocabulary."""
        return np.min_scalar_type(self.vocabulary_size - 1)

    def encode(self, text: str) -> np.ndarray:
        """Token ids, (tokens,) in the smallest unsigned type that holds the vocabulary."""
        parts = [part.ids for part in self.encode_pieces([text])]
        return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, self.dtype), *parts])

    def unknown(self, text: str) -> list[str]:
        """The pieces of a text that the vocabulary lacks, in order, with repetitions."""
        return [piece for part in self.encode_pieces([text]) for piece in part.unknown]

    def encode_pieces(self, pieces: Iterable[str]) -> Iterator[Encoded]:
        """The tokens of one document in pieces, cut anywhere; memory does not grow with its length."""
        return map(self._encode, blocks(pieces, self.safe_cut, self.block))

    def encode_documents(self, documents: Iterable[str]) -> Iterator[EncodedDocuments]:
        """Encode documents, one or more at a time, each with ``<eos>`` at its end."""
        for document in documents:
            parts = list(self.encode_pieces([document]))
            ids = np.concatenate([np.empty(0, self.dtype), *(part.ids for part in parts)])
            ids = np.concatenate([ids, self.end_after(ids)])
            yield EncodedDocuments(ids, [piece for part in parts for piece in part.unknown], np.array([len(ids)]))

    def end_after(self, ids: np.ndarray) -> np.ndarray:
        """The ``<eos>`` after a document's last tokens: (1,), or (0,) if it is among them already."""
        said = bool((ids[-1:] == self.end_id).any())
        return np.array([] if said else [self.end_id], dtype=self.dtype)


def grouped(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    """Texts in groups of about ``size`` characters."""
    group, total = [], 0
    for text in texts:
        group.append(text)
        total += len(text)
        if total >= size:
            yield group
            group, total = [], 0
    if group:
        yield group


def blocks(pieces: Iterable[str], safe_cut: Callable[[str], tuple[str, str]], size: int) -> Iterator[str]:
    """Join pieces that are cut anywhere into blocks of about ``size`` characters that end at safe cuts."""
    rest, enough = "", size
    for piece in pieces:
        for start in range(0, len(piece), size):
            rest += piece[start : start + size]
            if len(rest) >= enough:
                head, rest = safe_cut(rest)
                # or a text without safe places would be searched again for each piece
                enough = size if head else 2 * len(rest)
                if head:
                    yield head
    if rest:
        yield rest


def cut_at_space(text: str) -> tuple[str, str]:
    """Cut a text before its last white space; the first half is empty if there is none."""
    space = last_match(SPACE, text)
    return ("", text) if space is None else (text[: space.start()], text[space.start() :])


def last_match(pattern: regex.Pattern[str], text: str) -> regex.Match[str] | None:
    """The last match of a pattern, which is nearly always near the end."""
    for tail in (1 << 8, 1 << 12, len(text)):
        found = deque(pattern.finditer(text, max(0, len(text) - tail)), maxlen=1)
        if found:
            return found[0]
    return None
