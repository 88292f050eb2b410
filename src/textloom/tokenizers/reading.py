"""Texts read chunk by chunk: what a chunk is made of is looked at once, and then looked up."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from textloom.tokenizers.base import Encoded
from textloom.tokenizers.byte import bytes_of_text
from textloom.tokenizers.chunks import ChunkNumbers, find_chunks

SPACE = " "
AFTER, ENDS, BEFORE = 1, 2, 4  # a chunk's last space is a piece; it has one; one before the chunk is a piece


class Rules(NamedTuple):
    """How a tokenizer takes text apart. Letters and digits with nothing between them are one piece by any rules."""

    split: Callable[[str], list[str]]
    """The pieces of a text, as if nothing stood before it or after it."""
    edges: Callable[[list[str]], tuple[bool, bool]]
    """Of the pieces between two spaces: whether the space before them is a piece, and whether the one after them is."""


class Reader:
    """The chunks of texts as numbers, with the pieces that each number stands for."""

    def __init__(self, rules: Rules):
        self.rules = rules
        self.numbers = ChunkNumbers()
        self.pieces: list[str] = []
        """Of all chunks end to end, in the order of their numbers, without the space that a chunk ends with."""
        self.counts = np.empty(0, dtype=np.int32)
        """How many of them are each chunk's."""
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
            self._learn(new)
        flags = self.flags[numbers]
        spaces = flags & AFTER
        spaces[:-1] |= (flags[:-1] // ENDS) & (flags[1:] // BEFORE)
        return numbers, spaces

    def _learn(self, chunks: list[bytes]) -> None:
        counts, flags = [], []
        for chunk in chunks:
            text = chunk.decode("utf-8", "surrogatepass")
            inner = text.removesuffix(SPACE)
            flag = ENDS if len(inner) < len(text) else 0
            if inner.isalnum():
                self.pieces.append(inner)
                counts.append(1)
            else:
                pieces = self.rules.split(inner)
                before, after = self.rules.edges(pieces)
                flag += BEFORE * before + (AFTER if after and flag else 0)
                self.pieces += pieces
                counts.append(len(pieces))
            flags.append(flag)
        self.counts = np.append(self.counts, np.array(counts, dtype=np.int32))
        self.flags = np.append(self.flags, np.array(flags, dtype=np.uint8))


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
        self.known_pieces = 0
        self.tokens = np.empty(0, self.dtype)  # of all chunks end to end, a space after each
        self.starts = np.empty(0, dtype=np.int32)  # of each chunk in these
        self.lacking = np.empty(0, dtype=bool)  # whether a chunk has pieces without an id
        self.without_id: dict[int, list[str]] = {}  # these pieces, by the chunk's number

    def encode(self, text: str) -> Encoded:
        """The tokens of a text."""
        if self.reader.full:
            self._begin()
        numbers, spaces = self.reader.read(text)
        if self.known_pieces < len(self.reader.pieces) or len(self.starts) < len(self.reader.counts):
            self._learn()
        counts = self.reader.counts[numbers] + spaces
        ends = np.cumsum(counts)
        places = np.repeat(self.starts[numbers] - ends + counts, counts)
        places += np.arange(len(places))
        ids = self.tokens[places]
        return Encoded(ids, self._unknown(numbers, spaces) if (ids == self.unknown_id).any() else [])

    def _unknown(self, numbers: np.ndarray, spaces: np.ndarray) -> list[str]:
        lacking = self.lacking[numbers]
        if SPACE in self.ids:
            return [piece for number in numbers[lacking].tolist() for piece in self.without_id[number]]
        places = np.flatnonzero(lacking | (spaces > 0))
        return [
            piece
            for number, space in zip(numbers[places].tolist(), spaces[places].tolist(), strict=True)
            for piece in (*self.without_id.get(number, ()), *[SPACE] * space)
        ]

    def _learn(self) -> None:
        """The tokens of the chunks that the reader has met since the last time."""
        pieces, counts = self.reader.pieces[self.known_pieces :], self.reader.counts[len(self.starts) :]
        get, unknown = self.ids.get, self.unknown_id
        ids = np.array([get(piece, unknown) for piece in pieces], dtype=self.dtype)
        ends = np.cumsum(counts, dtype=np.int32)
        before = len(self.starts)
        starts = len(self.tokens) + ends - counts + np.arange(len(counts), dtype=np.int32)
        self.tokens = np.append(self.tokens, np.insert(ids, ends, get(SPACE, unknown)))
        lacking = np.zeros(len(counts), dtype=bool)
        for i in np.flatnonzero(ids == unknown).tolist():
            chunk = int(np.searchsorted(ends, i, side="right"))
            lacking[chunk] = True
            self.without_id.setdefault(before + chunk, []).append(pieces[i])
        self.starts, self.lacking = np.append(self.starts, starts), np.append(self.lacking, lacking)
        self.known_pieces += len(pieces)
