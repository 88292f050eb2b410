"""Tokenizer of words and punctuation marks that restores the text without a token for every space.

The space between two tokens follows from them: one between words, none before a comma. An exception is a token of its
own: the white space itself, or ``<join>`` for a missing space. So the vocabulary holds each word once, and
decoding restores the text.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from textloom.tokenizers.base import END, UNKNOWN
from textloom.tokenizers.splitting.reading import SplittingRules
from textloom.tokenizers.splitting.segmentation import split_pieces
from textloom.tokenizers.splitting.words import WordVocabulary

JOIN = "<join>"  # never a piece of a text, because "<" is a piece of its own
NO_SPACE_AFTER = frozenset("([{#$/-‐–")
NO_SPACE_BEFORE = frozenset(",.;:!?)]}%'’/-‐–")


def split_words(text: str) -> list[str]:
    """Split a text into words, punctuation marks, and a token for each unexpected or missing space."""
    words: list[str] = []
    previous, gap = "", ""
    for piece in split_pieces(text):
        if piece.isspace():
            gap = piece
            continue
        if gap != _expected_space(previous, piece):
            words += gap or (JOIN,)
        words.append(piece)
        previous, gap = piece, ""
    words += gap
    return words


def join_words(words: Iterable[str]) -> str:
    """The text of such pieces: the inverse of ``split_words``."""
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
    return "" if not left or left[0] in NO_SPACE_AFTER or right[0] in NO_SPACE_BEFORE else " "


def _unexpected_spaces(words: list[str]) -> tuple[bool, bool]:
    """Whether a space before these words, and one after them, would be unexpected."""
    if not words:
        return True, True
    first, last = words[0], words[-1]
    return first[0] in NO_SPACE_BEFORE or first.isspace(), last[0] in NO_SPACE_AFTER or last.isspace()


@dataclass(frozen=True)
class WordTokenizer(WordVocabulary):
    """Ids follow the frequency in the training text, after ``<unk>``, ``<eos>`` and ``<join>``."""

    kind: ClassVar[str] = "word"
    rules: ClassVar[SplittingRules] = SplittingRules(split_words, _unexpected_spaces)
    specials: ClassVar[tuple[str, ...]] = (UNKNOWN, END, JOIN)
    special_pieces: ClassVar[dict[str, int]] = {JOIN: 2}

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token ids."""
        return join_words(self._symbols[i] for i in ids if i != self.end_id)
