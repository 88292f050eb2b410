"""Texts read chunk by chunk: what a chunk is made of is looked at once, and then looked up."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from textloom.tokenizers.base import Encoded
from textloom.tokenizers.byte import bytes_of_text, text_of_bytes
from textloom.tokenizers.chunks import ChunkNumbers, find_chunks

SPACE = " "
AFTER, ENDS, BEFORE = 1, 2, 4  # a chunk's last space is a piece; it has one; one before the chunk is a piece


class Rules(NamedTuple):
    """How a tokenizer takes text apart."""

    split: Callable[[str], list[str]]
    """The pieces of a text, as if nothing stood before it or after it."""
    edges: Callable[[list[str]], tuple[bool, bool]]
    """Of the pieces between two spaces: whether the space before them is a piece, and whether the one after them is."""


class Reader:
    """The chunks of texts as numbers, with the pieces that each number stands for."""

    def __init__(self, rules: Rules):
        self.rules = rules
        self.numbers = ChunkNumbers()
        self.pieces: list[list[str]] = []
        """Of each number, without the space at the end."""
        self.flags = np.empty(0, dtype=np.uint8)

    @property
    def full(self) -> bool:
        """Whether it has read so many different chunks that it is time for a new reader."""
        return self.numbers.full

    def read(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """The number of each chunk, (chunks,), and whether its last space is a piece, (chunks,) uint8."""
        content = bytes_of_text(text)
        numbers, new = self.numbers.number(content, find_chunks(content))
        if new:
            self._learn([text_of_bytes(chunk) for chunk in new])
        flags = self.flags[numbers]
        spaces = flags & AFTER
        spaces[:-1] |= (flags[:-1] // ENDS) & (flags[1:] // BEFORE)
        return numbers, spaces

    def _learn(self, chunks: list[str]) -> None:
        pieces = [self.rules.split(chunk.removesuffix(SPACE)) for chunk in chunks]
        flags = [
            BEFORE * before + (ENDS + AFTER * after if chunk.endswith(SPACE) else 0)
            for chunk, (before, after) in zip(chunks, map(self.rules.edges, pieces), strict=True)
        ]
        self.pieces += pieces
        self.flags = np.concatenate([self.flags, np.array(flags, dtype=np.uint8)])


class Encoder:
    """Token ids of texts, by the ids of a vocabulary's pieces; ``unknown_id`` for what has none."""

    def __init__(self, rules: Rules, ids: dict[str, int], unknown_id: int, dtype: np.dtype[Any]):
        self.rules = rules
        self.ids = ids
        self.unknown_id = unknown_id
        self.dtype = dtype
        self._begin()

    def _begin(self) -> None:
        self.reader = Reader(self.rules)
        self.tokens = np.empty(0, self.dtype)  # of all chunks end to end, a space after each
        self.starts = np.empty(0, dtype=np.int32)  # of each chunk in these
        self.counts = np.empty(0, dtype=np.int32)
        self.lacking = np.empty(0, dtype=bool)  # whether it has a piece without an id

    def encode(self, text: str) -> Encoded:
        """The tokens of a text."""
        if self.reader.full:
            self._begin()
        numbers, spaces = self.reader.read(text)
        if len(self.starts) < len(self.reader.pieces):
            self._learn(self.reader.pieces[len(self.starts) :])
        counts = self.counts[numbers] + spaces
        ends = np.cumsum(counts)
        places = np.repeat(self.starts[numbers] - ends + counts, counts)
        places += np.arange(len(places))
        ids = self.tokens[places]
        return Encoded(ids, self._unknown(numbers, spaces) if (ids == self.unknown_id).any() else [])

    def _unknown(self, numbers: np.ndarray, spaces: np.ndarray) -> list[str]:
        lacking = self.lacking[numbers]
        if SPACE not in self.ids:
            lacking |= spaces.astype(bool)
        found: list[str] = []
        for i in np.flatnonzero(lacking).tolist():
            pieces = self.reader.pieces[numbers[i]]
            found += [piece for piece in ([*pieces, SPACE] if spaces[i] else pieces) if piece not in self.ids]
        return found

    def _learn(self, chunks: list[list[str]]) -> None:
        ids, unknown = self.ids, self.unknown_id
        tokens = [ids.get(piece, unknown) for pieces in chunks for piece in (*pieces, SPACE)]
        counts = np.array([len(pieces) for pieces in chunks], dtype=np.int32)
        starts = len(self.tokens) + np.cumsum(counts + 1, dtype=np.int32) - counts - 1
        self.tokens = np.concatenate([self.tokens, np.array(tokens, self.dtype)])
        self.starts, self.counts = np.concatenate([self.starts, starts]), np.concatenate([self.counts, counts])
        lacking = [any(piece not in ids for piece in pieces) for pieces in chunks]
        self.lacking = np.concatenate([self.lacking, np.array(lacking)])
