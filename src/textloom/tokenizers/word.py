"""Words and punctuation marks, reversible without a token for every space.

Between two tokens stands what one would expect there: a space between words, none before a comma. Only where the text
has something else, a token says so: the white space that is there, or ``<join>`` where an expected space is missing.
So the vocabulary holds each word once, and decoding gives the text back.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

UNKNOWN, END, JOIN = "<unk>", "<eos>", "<join>"  # the pattern cannot produce them: "<" is a token of its own
PATTERN = re.compile(r"\d+(?:[.,]\d+)+|\w+(?:['’]\w+)*|[^\w\s]|\s+")
NO_SPACE_AFTER = frozenset("([{#$/-‐–")
NO_SPACE_BEFORE = frozenset(",.;:!?)]}%'’/-‐–")


@dataclass(frozen=True)
class WordTokenizer:
    """Ids follow the frequency in the training text, after ``<unk>``, ``<eos>`` and ``<join>``."""

    words: tuple[str, ...]
    lowercase: bool

    @classmethod
    def fit(
        cls, documents: Iterable[str], lowercase: bool, minimum_frequency: int = 1, maximum_size: int | None = None
    ) -> "WordTokenizer":
        """The vocabulary of some documents: words frequent enough, the most frequent first."""
        counts: Counter[str] = Counter()
        for document in documents:
            counts.update(split_words(document.lower() if lowercase else document))
        del counts[JOIN]
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        kept = [word for word in ranked if counts[word] >= minimum_frequency]
        return cls(tuple(kept[: max(0, maximum_size - 3)] if maximum_size else kept), lowercase)

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids, 0 up to this."""
        return len(self.words) + 3

    @property
    def unknown_id(self) -> int:
        """The id of ``<unk>``."""
        return 0

    @property
    def end_id(self) -> int:
        """The id of ``<eos>``."""
        return 1

    @cached_property
    def _symbols(self) -> list[str]:
        return [UNKNOWN, END, JOIN, *self.words]

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {symbol: i for i, symbol in enumerate(self._symbols)}

    def encode(self, text: str) -> np.ndarray:
        """Token ids, (tokens,) int64."""
        ids = self._ids
        return np.array(
            [ids.get(word, 0) for word in split_words(text.lower() if self.lowercase else text)], dtype=np.int64
        )

    def decode(self, ids: Iterable[int]) -> str:
        """Readable text."""
        return join_words(self._symbols[i] for i in ids if i != self.end_id)

    def unknown(self, text: str) -> list[str]:
        """The words that the vocabulary does not have, in order."""
        words = split_words(text.lower() if self.lowercase else text)
        return [word for word in words if word not in self._ids]

    def to_dict(self) -> dict[str, object]:
        """Plain JSON types."""
        return {"level": "word", "words": list(self.words), "lowercase": self.lowercase}


def split_words(text: str) -> Iterator[str]:
    """Words, punctuation marks, and a token wherever the space between them is not the expected one."""
    previous, gap = "", ""
    for piece in PATTERN.findall(text):
        if piece.isspace():
            gap = piece
            continue
        if gap != _expected_space(previous, piece):
            yield from gap or (JOIN,)
        yield piece
        previous, gap = piece, ""
    yield from gap


def join_words(words: Iterable[str]) -> str:
    """The text that ``split_words`` took apart."""
    parts: list[str] = []
    previous, said = "", False
    for word in words:
        if word == JOIN:
            said = True
        elif word.isspace():
            parts.append(word)
            said = True
        else:
            if not said:
                parts.append(_expected_space(previous, word))
            parts.append(word)
            previous, said = word, False
    return "".join(parts)


def _expected_space(left: str, right: str) -> str:
    return "" if not left or left in NO_SPACE_AFTER or right in NO_SPACE_BEFORE else " "
