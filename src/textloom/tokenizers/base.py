"""What every tokenizer is: text to token ids and back, in pieces of bounded size."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import regex

UNKNOWN, END = "<unk>", "<eos>"
WHITE_SPACE = r"[\s\x1c-\x1f]"
"""As a class in patterns: what str.isspace() says, of which ``regex`` leaves out the last four."""
SPACE = regex.compile(WHITE_SPACE)


class Encoded(NamedTuple):
    """A text as tokens."""

    ids: np.ndarray
    """(tokens,) in the smallest unsigned type that holds the vocabulary."""
    unknown: list[str]
    """The pieces of the text that the vocabulary does not have, in order, repeated as they are."""


class EncodedDocuments(NamedTuple):
    """Whole documents as tokens, each followed by ``end_id``."""

    ids: np.ndarray
    """(tokens,) of all of them end to end."""
    unknown: list[str]
    """The pieces of the texts that the vocabulary does not have, in order, repeated as they are."""
    lengths: np.ndarray
    """(documents,) tokens of each, its end included."""


class Tokenizer(ABC):
    """What the data, generation and evaluation ask of a tokenizer."""

    kind: ClassVar[str]
    """Its name in the config, and in ``tokenizer.json``."""
    block: ClassVar[int] = 1 << 17
    """Characters that are encoded at once: small enough for the processor's cache."""
    writes_spaces: ClassVar[bool] = True
    """Whether the space before a word comes with the word's token."""

    @classmethod
    @abstractmethod
    def fit(cls, documents: Iterable[Iterable[str]], *args: Any, **keys: Any) -> Self:
        """The tokenizer of some documents, each in pieces. ``keys``: the config's, but for ``kind``."""

    @classmethod
    def origin(cls, *args: Any, **keys: Any) -> str | None:
        """A hash of what it is made from beside the documents and the config's keys; None if there is nothing else."""
        return None

    @property
    @abstractmethod
    def vocabulary_size(self) -> int:
        """Number of token ids, 0 up to this."""

    @property
    @abstractmethod
    def unknown_id(self) -> int | None:
        """The id that stands for all that the vocabulary does not have; None where it has everything."""

    @property
    @abstractmethod
    def end_id(self) -> int:
        """The id that stands between documents: the end of one, the context of the next one's first token."""

    @abstractmethod
    def decode(self, ids: Iterable[int]) -> str:
        """Readable text; ends of documents leave no trace."""

    def token_text(self, token: int) -> str:
        """A token as reports show it: its text, or the name of a special one."""
        return {self.unknown_id: UNKNOWN, self.end_id: END}.get(token) or self.decode([token])

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """All that is needed to build the same tokenizer again, in plain JSON types."""

    @abstractmethod
    def safe_cut(self, text: str) -> tuple[str, str]:
        """The text in two, such that the tokens of the first and those of the second are the tokens of the whole.

        A space that no token stands for may be left out between them. The first is empty where there is no such place.
        """

    @abstractmethod
    def _encode(self, text: str) -> Encoded:
        """The tokens of a text that may be held in memory several times over."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest unsigned type that holds the vocabulary."""
        return np.min_scalar_type(self.vocabulary_size - 1)

    def encode(self, text: str) -> np.ndarray:
        """Token ids, (tokens,) in the smallest unsigned type that holds the vocabulary."""
        parts = [part.ids for part in self.encode_pieces([text])]
        return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, self.dtype), *parts])

    def unknown(self, text: str) -> list[str]:
        """The pieces of a text that the vocabulary does not have, in order, repeated as they are."""
        return [piece for part in self.encode_pieces([text]) for piece in part.unknown]

    def encode_pieces(self, pieces: Iterable[str]) -> Iterator[Encoded]:
        """The tokens of one document that comes in pieces, cut anywhere, in memory that does not grow with it."""
        return map(self._encode, blocks(pieces, self.safe_cut, self.block))

    def encode_documents(self, documents: Iterable[str]) -> Iterator[EncodedDocuments]:
        """Many documents, one or more at a time, each with the ``<eos>`` at its end."""
        for document in documents:
            parts = list(self.encode_pieces([document]))
            ids = np.concatenate([np.empty(0, self.dtype), *(part.ids for part in parts)])
            ids = np.concatenate([ids, self.end_after(ids)])
            yield EncodedDocuments(ids, [piece for part in parts for piece in part.unknown], np.array([len(ids)]))

    def end_after(self, ids: np.ndarray) -> np.ndarray:
        """The ``<eos>`` of a document whose last tokens are given, (1,), or (0,) where the text has said it."""
        said = bool((ids[-1:] == self.end_id).any())
        return np.array([] if said else [self.end_id], dtype=self.dtype)


def grouped(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    """Texts in groups of about a size, in characters."""
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
    """A text that comes in pieces, cut anywhere, in blocks of about a size (in characters) that end at safe places."""
    rest, enough = "", size
    for piece in pieces:
        for start in range(0, len(piece), size):
            rest += piece[start : start + size]
            if len(rest) >= enough:
                head, rest = safe_cut(rest)
                enough = size if head else 2 * len(rest)  # a text without safe places is not searched again and again
                if head:
                    yield head
    if rest:
        yield rest


def cut_at_space(text: str) -> tuple[str, str]:
    """The text in two, the second beginning with the last white space; the first is empty where there is none."""
    space = last_match(SPACE, text)
    return ("", text) if space is None else (text[: space.start()], text[space.start() :])


def last_match(pattern: regex.Pattern[str], text: str) -> regex.Match[str] | None:
    """Where a pattern matches for the last time; nearly always that is near the end."""
    for tail in (1 << 8, 1 << 12, len(text)):
        found = deque(pattern.finditer(text, max(0, len(text) - tail)), maxlen=1)
        if found:
            return found[0]
    return None
