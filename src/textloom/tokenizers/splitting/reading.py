"""Encoding of texts chunk by chunk: each distinct chunk is split into pieces once, and then looked up."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from textloom.tokenizers.base import EncodedDocuments
from textloom.tokenizers.byte import bytes_of_text
from textloom.tokenizers.splitting.chunks import DOCUMENT_END, ChunkNumbers, Column, find_chunks

SPACE = " "
AFTER, ENDS, BEFORE = 1, 2, 4  # a chunk's last space is a piece; it has one; one before the chunk is a piece
LAST = 8  # the chunk ends a document
END_PIECE = ""  # the last piece of such a chunk
ENDINGS = {b" ": ENDS, DOCUMENT_END: LAST}


class SplittingRules(NamedTuple):
    """The splitting rules of a tokenizer. By all rules a run of letters and digits is one piece."""

    split: Callable[[str], list[str]]
    """The pieces of a text that stands alone."""
    edges: Callable[[list[str]], tuple[bool, bool]]
    """For the pieces between two spaces: whether the space before them, and the one after them, is a piece."""


def closed(documents: Iterable[str]) -> bytes:
    """The bytes of documents, each followed by DOCUMENT_END, which is read as an END_PIECE."""
    return b"".join(bytes_of_text(text) + DOCUMENT_END for text in documents)


class ChunkReader:
    """The chunks of texts as numbers, with the pieces that each number stands for."""

    def __init__(self, rules: SplittingRules):
        self.rules = rules
        self.numbers = ChunkNumbers()
        self.new_pieces: list[str] = []
        """The pieces of new chunks end to end, in the order of their numbers, without the space that ends a chunk.

        The caller clears the list after taking them."""
        self.counts = Column(np.int64)
        """The number of pieces of each chunk."""
        self.flags = Column(np.uint8)

    @property
    def full(self) -> bool:
        """True if there are so many distinct chunks that the reader should be replaced by a new one."""
        return self.numbers.full

    def read(self, content: bytes) -> tuple[np.ndarray, np.ndarray]:
        """The number of each chunk, (chunks,), and whether its last space is a piece, (chunks,) uint8."""
        numbers, new = self.numbers.number(content, find_chunks(content))
        if new:
            self._learn(new)
        flags = self.flags.values[numbers]
        spaces = flags & AFTER
        spaces[:-1] |= (flags[:-1] // ENDS) & (flags[1:] // BEFORE) & 1
        return numbers, spaces

    def _learn(self, chunks: list[bytes]) -> None:
        counts, flags, new_pieces = [], [], self.new_pieces
        for chunk in chunks:
            flag = ENDINGS.get(chunk[-1:], 0)
            inner = (chunk[:-1] if flag else chunk).decode()
            if inner.isalnum() and flag != LAST:  # as most chunks are
                new_pieces.append(inner)
                counts.append(1)
                flags.append(flag)
                continue
            pieces = self.rules.split(inner)
            before, after = self.rules.edges(pieces)
            if flag == LAST:
                pieces.append(END_PIECE)
            new_pieces += pieces
            counts.append(len(pieces))
            flags.append(flag + BEFORE * before + (AFTER if after and flag == ENDS else 0))
        self.counts.add(np.array(counts))
        self.flags.add(np.array(flags))


class ChunkEncoder:
    """Encodes texts with the ids of a vocabulary's pieces; other pieces are ``unknown_id``."""

    def __init__(self, rules: SplittingRules, ids: dict[str, int], unknown_id: int, dtype: np.dtype[Any]):
        self.rules = rules
        self.ids = ids
        self.unknown_id = unknown_id
        self.dtype = dtype
        self._begin()

    def _begin(self) -> None:
        self.reader = ChunkReader(self.rules)
        self.tokens = Column(self.dtype)  # of all chunks end to end, with a space after each
        self.starts = Column(np.int64)  # of each chunk in these
        self.lacking = Column(np.bool)  # True for chunks that have pieces without an id
        self.without_id: dict[int, list[str]] = {}  # these pieces, by the chunk's number

    def encode(self, content: bytes) -> EncodedDocuments:
        """The tokens of documents as ``closed`` joins them; or of one text, without lengths."""
        if self.reader.full:
            self._begin()
        numbers, spaces = self.reader.read(content)
        if len(self.starts) < len(self.reader.counts):
            self._learn()
        counts = self.reader.counts.values[numbers] + spaces
        ends = np.cumsum(counts)
        places = np.repeat(self.starts.values[numbers] - ends + counts, counts)
        places += np.arange(len(places))
        ids = self.tokens.values[places]
        unknown = self._unknown(numbers, spaces) if (ids == self.unknown_id).any() else []
        last = np.flatnonzero(self.reader.flags.values[numbers] & LAST)
        return EncodedDocuments(ids, unknown, np.diff(ends[last], prepend=0))

    def _unknown(self, numbers: np.ndarray, spaces: np.ndarray) -> list[str]:
        lacking = self.lacking.values[numbers]
        if SPACE in self.ids:
            return [piece for number in numbers[lacking].tolist() for piece in self.without_id[number]]
        places = np.flatnonzero(lacking | (spaces > 0))
        return [
            piece
            for number, space in zip(numbers[places].tolist(), spaces[places].tolist(), strict=True)
            for piece in (*self.without_id.get(number, ()), *[SPACE] * space)
        ]

    def _learn(self) -> None:
        """Add the tokens of the chunks that are new to the reader."""
        pieces, counts = self.reader.new_pieces, self.reader.counts.values[len(self.starts) :]
        get, unknown, before = self.ids.get, self.unknown_id, len(self.starts)
        ids = np.array([get(piece, unknown) for piece in pieces], dtype=self.dtype)
        ends = np.cumsum(counts)
        self.starts.add(len(self.tokens) + ends - counts + np.arange(len(counts)))
        self.tokens.add(np.insert(ids, ends, get(SPACE, unknown)))
        lacking = np.flatnonzero(ids == unknown)
        chunks = np.searchsorted(ends, lacking, side="right")
        for piece, chunk in zip(lacking.tolist(), chunks.tolist(), strict=True):
            self.without_id.setdefault(before + chunk, []).append(pieces[piece])
        flags = np.zeros(len(counts), dtype=np.bool)
        flags[chunks] = True
        self.lacking.add(flags)
        pieces.clear()
