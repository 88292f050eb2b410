"""Exact duplicates: documents that differ from an earlier one only in case, punctuation or white space."""

import hashlib
import unicodedata
from collections.abc import Iterable

import numpy as np
import regex

from textloom.data.documents import Piece
from textloom.data.normalization import in_form
from textloom.tokenizers.byte import bytes_of_text

# Combining marks make other words (vowel signs, tones), and so do emoji; joiners and variation selectors do not show
NOT_LETTERS = regex.compile(
    r"[^\0-\x7f\p{L}\p{N}\p{M}\p{WB=ALetter}\p{RI}\p{Emoji_Presentation}\p{Emoji_Modifier}]+"
    r"|\p{Default_Ignorable_Code_Point}+"
)
ASCII_MARKS = bytes(code for code in range(128) if not chr(code).isalnum())  # as bytes, five times faster


class DuplicateKeys:
    """Keys of 128 bits, equal for documents that differ only in case, punctuation, symbols or white space.

    Canonically equivalent texts have equal keys.
    """

    def __init__(self) -> None:
        self._keys = bytearray()

    def add(self, pieces: Iterable[Piece]) -> None:
        """Add documents."""
        digest, folding, letters_seen = _digest(), Folding(), False
        for text, ends in pieces:
            if found := folding.letters(text, ends):
                if not letters_seen:  # the key of a text without letters is that of its punctuation
                    digest, letters_seen = _digest(), True
                digest.update(found)
            elif not letters_seen:
                digest.update(bytes_of_text(in_form("NFD", text)))
            if ends:
                self._keys += digest.digest()
                digest, folding, letters_seen = _digest(), Folding(), False

    def firsts(self) -> np.ndarray:
        """(documents,) bool: True for the first document of each key."""
        low, high = np.frombuffer(self._keys, dtype=np.uint64).reshape(-1, 2).T
        order = np.lexsort((low, high))  # stable: of equal keys the first document comes first
        first = np.ones(len(order), dtype=bool)
        first[1:] = (np.diff(low[order]) != 0) | (np.diff(high[order]) != 0)
        found = np.zeros(len(order), dtype=bool)
        found[order[first]] = True
        return found


def _digest() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=16)


class Folding:
    """Letters, marks and digits of a document in pieces that are cut anywhere: without case, canonically decomposed."""

    def __init__(self) -> None:
        self.waiting = ""  # combining marks at the end of a piece, to be sorted together with those of the next

    def letters(self, text: str, ends: bool) -> bytes:
        """The letters up to the end of a piece; marks that may belong to the next are held back."""
        if text.isascii() and not self.waiting:
            return text.lower().encode().translate(None, ASCII_MARKS)
        decomposed = in_form("NFD", self.waiting + text)
        end = len(decomposed)
        while not ends and end and unicodedata.combining(decomposed[end - 1]):
            end -= 1
        self.waiting = decomposed[end:]
        letters = bytes_of_text(_folded(decomposed[:end])).translate(None, ASCII_MARKS).decode()
        return NOT_LETTERS.sub("", letters).encode()


def _folded(text: str) -> str:
    """The text without case. ß remains a letter of its own: "Maße" and "Masse" are two words."""
    return "ß".join(part.casefold() for part in text.replace("ẞ", "ß").split("ß"))
