"""The words of "Recurrent Neural Networks by Example in Python" (Koehrsen 2018), as Keras's ``Tokenizer`` splits them.

It is for ``data.protocol=article`` only: it drops characters, and has no end of documents.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from textloom.tokenizers.base import UNKNOWN, Encoded, Tokenizer
from textloom.tokenizers.byte import valid_text


@dataclass(frozen=True)
class ArticleTokenizer(Tokenizer):
    """Ids from 1 on by falling frequency in all documents; 0 is Keras's padding, and never a target."""

    kind: ClassVar[str] = "article"
    words: tuple[str, ...]
    lowercase: bool
    filters: str

    @classmethod
    def fit(cls, documents: Iterable[Iterable[str]], lowercase: bool, filters: str) -> "ArticleTokenizer":
        """The vocabulary of some documents: every word, equally frequent ones in the order of first occurrence."""
        counts: Counter[str] = Counter()
        for document in documents:
            counts.update(article_words("".join(document), lowercase, filters))
        return cls(tuple(sorted(counts, key=lambda word: -counts[word])), lowercase, filters)

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids, 0 up to this."""
        return len(self.words) + 1

    @property
    def unknown_id(self) -> int:
        """The id of unknown words, which only prompts have."""
        return 0

    @property
    def end_id(self) -> int:
        """The id between documents, which no window contains."""
        return 0

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.words, start=1)}

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token ids, with the article's spaces."""
        text = " ".join(self.words[i - 1] if i else UNKNOWN for i in ids)
        return re.sub(r"\s+([.,;?])", r"\1", text)

    def safe_cut(self, text: str) -> tuple[str, str]:
        """Cut nowhere: the article's documents are short, and its rules look far ahead."""
        return "", text

    def to_dict(self) -> dict[str, Any]:
        """The words and the keys."""
        return {"level": self.kind, **asdict(self), "words": list(self.words)}

    def _encode(self, text: str) -> Encoded:
        words = article_words(text, self.lowercase, self.filters)
        ids = np.array([self._ids.get(word, 0) for word in words], dtype=self.dtype)
        return Encoded(ids, [word for word in words if word not in self._ids])


def article_words(text: str, lowercase: bool, filters: str) -> list[str]:
    """Put a space before marks that do not follow a digit, drop references such as (12), and split as Keras does."""
    text = valid_text(text)
    text = re.sub(r"(?<=[^\s0-9])(?=[.,;?])", " ", text)
    text = re.sub(r"\((\d+)\)", "", text)
    text = re.sub(r"\s\s", " ", text)
    text = text.lower() if lowercase else text
    return [word for word in text.translate(dict.fromkeys(map(ord, filters), " ")).split(" ") if word]
