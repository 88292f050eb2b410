"""A text as numbers of its chunks, found by NumPy: a word and the white space after it, known after its first time.

Python takes each distinct chunk apart once; a text costs a few array operations a chunk. Chunks of up to 15 bytes are
two 64-bit words, and found in a hash table with open addressing; longer and new ones, which are few, in a dict.
"""

from typing import NamedTuple

import numpy as np

TAB, FILE_SEPARATOR = np.uint8(9), np.uint8(28)
SHORT = 15  # bytes: the sixteenth holds the length
SLOTS_BITS = 18
SLOTS_MASK = (1 << SLOTS_BITS) - 1
KNOWN = 1 << 17  # chunks that are remembered; when there are more, all are forgotten
PROBES = 8
FACTORS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], dtype=np.uint64)
NOBODY, TOO_LONG = np.iinfo(np.uint64).max, np.uint64((1 << 64) - 2)  # no chunk's: their upper byte is no length
FIRST_BYTES = np.array([(1 << 8 * size) - 1 for size in range(9)], dtype=np.uint64)


class Chunks(NamedTuple):
    """Where the chunks of a text lie: each ends with one ASCII white space character, but for the last."""

    starts: np.ndarray
    """(chunks,) first byte."""
    sizes: np.ndarray
    """(chunks,) bytes; the last may have none."""


def find_chunks(content: bytes) -> Chunks:
    """The chunks of a UTF-8 text."""
    data = np.frombuffer(content, dtype=np.uint8)
    white = np.flatnonzero(
        (data == 32) | (data - TAB < 5) | (data - FILE_SEPARATOR < 4)
    )  # as str.isspace; 0 - 9 is 247
    edges = np.empty(len(white) + 2, dtype=np.int64)
    edges[0], edges[-1] = 0, len(data)
    np.add(white, 1, out=edges[1:-1])
    return Chunks(edges[:-1], edges[1:] - edges[:-1])


class ChunkNumbers:
    """Numbers 0, 1, 2, ... for distinct chunks, in the order in which they are met."""

    def __init__(self) -> None:
        self.known: dict[bytes, int] = {}
        self.slots = np.full(1 << SLOTS_BITS, -1)
        self.first = np.empty(0, dtype=np.uint64)  # of each number's chunk, where it is short; the last entry is none's
        self.second = np.empty(0, dtype=np.uint64)
        self._make_room(KNOWN)

    @property
    def full(self) -> bool:
        """Whether it is time to begin anew."""
        return len(self.known) >= KNOWN

    def number(self, content: bytes, chunks: Chunks) -> tuple[np.ndarray, list[bytes]]:
        """The number of each chunk, (chunks,), and the chunks that are new, in the order of their numbers."""
        keys = _hashed(content, chunks)
        numbers = self._looked_up(keys)
        rest = np.flatnonzero(numbers < 0)
        places = zip(chunks.starts[rest].tolist(), chunks.sizes[rest].tolist(), strict=True)
        texts = [content[start : start + size] for start, size in places]
        new: dict[bytes, int] = {}
        known, met = self.known, len(self.known)
        numbers[rest] = [
            number if (number := known.get(text)) is not None else new.setdefault(text, met + len(new))
            for text in texts
        ]
        if new:
            known.update(new)
            fresh = rest[numbers[rest] >= met]
            self._remember(keys, fresh[chunks.sizes[fresh] <= SHORT], numbers)
        return numbers, list(new)

    def _looked_up(self, keys: "_Keys") -> np.ndarray:
        """The number of each chunk, -1 where it was not found."""
        numbers: np.ndarray = self.slots[keys.slots]
        wrong = (self.first[numbers] != keys.first) | (self.second[numbers] != keys.second)
        looking = np.flatnonzero(wrong)
        for probe in range(1, PROBES):
            if not len(looking):
                break
            found = self.slots[(keys.slots[looking] + probe) & SLOTS_MASK]
            numbers[looking] = found
            wrong = (self.first[found] != keys.first[looking]) | (self.second[found] != keys.second[looking])
            looking = looking[wrong]
        numbers[looking] = -1
        return numbers

    def _remember(self, keys: "_Keys", places: np.ndarray, numbers: np.ndarray) -> None:
        """Enter the chunks at some places; one that finds no free slot will be found in the dict."""
        self._make_room(len(self.known))
        self.first[numbers[places]], self.second[numbers[places]] = keys.first[places], keys.second[places]
        for probe in range(PROBES):
            slots = (keys.slots[places] + probe) & SLOTS_MASK
            free = self.slots[slots] < 0
            self.slots[slots[free]] = numbers[places[free]]
            places = places[self.slots[slots] != numbers[places]]

    def _make_room(self, size: int) -> None:
        if size >= len(self.first):
            more = np.full(size + 1, NOBODY)
            self.first, self.second = np.concatenate([self.first, more]), np.concatenate([self.second, more])


class _Keys(NamedTuple):
    """What chunks are looked up by."""

    first: np.ndarray
    """(chunks,) uint64: the first eight bytes."""
    second: np.ndarray
    """(chunks,) uint64: the next seven, and the length."""
    slots: np.ndarray
    """(chunks,) where to look first."""


def _hashed(content: bytes, chunks: Chunks) -> _Keys:
    starts, sizes = chunks
    padded = content + bytes(16)
    word_at = np.ndarray((len(content) + 8,), dtype="<u8", buffer=padded, strides=(1,))  # the 8 bytes from each place
    first = word_at[starts] & FIRST_BYTES.take(sizes, mode="clip")
    second = sizes.astype(np.uint64) << np.uint64(56)
    more = np.flatnonzero(sizes > 8)
    second[more] |= word_at[starts[more] + 8] & FIRST_BYTES.take(sizes[more] - 8, mode="clip")
    second[more[sizes[more] > SHORT]] = TOO_LONG
    mixed = first * FACTORS[0] + second * FACTORS[1]  # the upper bits of a product hang on all of the factor's
    return _Keys(first, second, (mixed >> np.uint64(64 - SLOTS_BITS)).view(np.int64))
