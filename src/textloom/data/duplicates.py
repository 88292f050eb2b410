"""Documents that repeat another: which one is the first of those that differ only in case, punctuation or space."""

import hashlib
import re
from collections.abc import Iterable

import numpy as np

from textloom.data.spool import Piece

MARKS = re.compile(r"[\W_]+")
ASCII_MARKS = bytes(code for code in range(128) if MARKS.match(chr(code)))


class Keys:
    """128 bits for each document, equal where only case, punctuation or white space differ."""

    def __init__(self) -> None:
        self._keys = bytearray()

    def add(self, pieces: Iterable[Piece]) -> None:
        """Take in documents."""
        digest, letters_seen = hashlib.blake2b(digest_size=16), False
        for text, ends in pieces:
            if found := _letters(text):
                if not letters_seen:  # marks alone are told apart by what they are, until there are letters
                    digest, letters_seen = hashlib.blake2b(digest_size=16), True
                digest.update(found)
            elif not letters_seen:
                digest.update(text.encode("utf-8", "surrogatepass"))
            if ends:
                self._keys += digest.digest()
                digest, letters_seen = hashlib.blake2b(digest_size=16), False

    def firsts(self) -> np.ndarray:
        """(documents,) bool: whether no document before has the same key."""
        low, high = np.frombuffer(self._keys, dtype=np.uint64).reshape(-1, 2).T
        order = np.lexsort((low, high))  # stable: of equal keys the first document comes first
        first = np.ones(len(order), dtype=bool)
        first[1:] = (np.diff(low[order]) != 0) | (np.diff(high[order]) != 0)
        found = np.zeros(len(order), dtype=bool)
        found[order[first]] = True
        return found


def _letters(text: str) -> bytes:
    """Letters and digits without case; the marks of ASCII are taken out as bytes, five times faster than by pattern."""
    content = text.casefold().encode("utf-8", "surrogatepass").translate(None, ASCII_MARKS)
    if text.isascii():
        return content
    return MARKS.sub("", content.decode("utf-8", "surrogatepass")).encode("utf-8", "surrogatepass")
