"""Texts as sequences of chunk numbers, found with NumPy. A chunk is a word and the white space after it.

Python splits each distinct chunk once, and a text costs a few array operations for each chunk. Chunks of up to 15
bytes are two 64-bit words in a hash table with open addressing; longer and new ones, which are few, are in a dict.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

TAB, FILE_SEPARATOR = np.uint8(9), np.uint8(28)
DOCUMENT_END = b"\xff"  # never a byte of UTF-8
SHORT = 15  # bytes: the sixteenth holds the length
SLOTS_BITS = 20
SLOTS_MASK = (1 << SLOTS_BITS) - 1
KNOWN = 1 << 19  # chunks in the table, which is cleared if there are more
PROBES = 8
FACTORS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], dtype=np.uint64)
NOBODY, TOO_LONG = np.iinfo(np.uint64).max, np.uint64((1 << 64) - 2)  # never keys: their upper byte is not a length
FIRST_BYTES = np.array([(1 << 8 * size) - 1 for size in range(9)], dtype=np.uint64)


class Chunks(NamedTuple):
    """The places of chunks: each ends with ASCII white space or DOCUMENT_END, except the last."""

    starts: np.ndarray
    """(chunks,) first byte."""
    sizes: np.ndarray
    """(chunks,) bytes; the last may have none."""


def find_chunks(content: bytes) -> Chunks:
    """The chunks of UTF-8 texts."""
    data = np.frombuffer(content, dtype=np.uint8)
    ends = (data == 32) | (data - TAB < 5) | (data - FILE_SEPARATOR < 4) | (data == 255)  # wraps below zero
    after = np.flatnonzero(ends) + 1
    edges = np.concatenate([[0], after, [len(data)]])
    return Chunks(edges[:-1], edges[1:] - edges[:-1])


class Column:
    """An array that grows at its end; its capacity doubles."""

    def __init__(self, dtype: DTypeLike, room: int = 1024):
        self._room = np.zeros(room, dtype=dtype)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def values(self) -> np.ndarray:
        """The values that were added."""
        return self._room[: self._size]

    def add(self, values: np.ndarray) -> None:
        """Append values."""
        size = self._size + len(values)
        if size > len(self._room):
            self._room = np.append(self._room, np.zeros(max(size, len(self._room)), dtype=self._room.dtype))
        self._room[self._size : size] = values
        self._size = size


class ChunkNumbers:
    """Numbers 0, 1, 2, ... for distinct chunks, in the order of their first occurrence."""

    def __init__(self) -> None:
        self.met = 0
        self.slots = np.zeros(1 << SLOTS_BITS, dtype=np.int32)  # the number of a chunk plus one; 0 for a free slot
        self.first, self.second = Column(np.uint64), Column(np.uint64)  # the keys of the chunks, at these numbers
        self.first.add(np.array([NOBODY]))
        self.second.add(np.array([NOBODY]))
        self.without_slot: dict[bytes, int] = {}  # long chunks, and those without a free slot

    @property
    def full(self) -> bool:
        """True if the table should be cleared."""
        return self.met >= KNOWN

    def number(self, content: bytes, chunks: Chunks) -> tuple[np.ndarray, list[bytes]]:
        """The number of each chunk, (chunks,), and the chunks that are new, in the order of their numbers."""
        keys = _hashed(content, chunks)
        numbers = self._looked_up(keys)
        rest = np.flatnonzero(numbers < 0)
        if not len(rest):
            return numbers, []
        places = zip(chunks.starts[rest].tolist(), chunks.sizes[rest].tolist(), strict=True)
        texts = [content[start : start + size] for start, size in places]
        new: dict[bytes, int] = {}
        known, met = self.without_slot, self.met
        numbers[rest] = [
            number if (number := known.get(text)) is not None else new.setdefault(text, met + len(new))
            for text in texts
        ]
        if new:
            fresh = np.empty(len(new), dtype=np.int64)  # a place of each
            at = rest[numbers[rest] >= met]
            fresh[numbers[at] - met] = at
            self._remember(keys, fresh, list(new))
        return numbers, list(new)

    def _looked_up(self, keys: "_Keys") -> np.ndarray:
        """The number of each chunk, -1 if it is not in the table."""
        first, second = self.first.values, self.second.values
        entries: np.ndarray = self.slots[keys.slots].astype(np.int64)
        looking = np.flatnonzero((first[entries] != keys.first) | (second[entries] != keys.second))
        for probe in range(1, PROBES):
            looking = looking[entries[looking] > 0]  # a free slot means that the chunk is not in the table
            if not len(looking):
                break
            found = self.slots[(keys.slots[looking] + probe) & SLOTS_MASK]
            entries[looking] = found
            looking = looking[(first[found] != keys.first[looking]) | (second[found] != keys.second[looking])]
        entries[looking] = 0
        entries -= 1
        return entries

    def _remember(self, keys: "_Keys", places: np.ndarray, chunks: list[bytes]) -> None:
        """Number new chunks, which occur at these places."""
        entries = np.arange(self.met + 1, self.met + 1 + len(chunks), dtype=np.int32)
        self.met += len(chunks)
        self.first.add(keys.first[places])
        self.second.add(keys.second[places])
        long = keys.second[places] == TOO_LONG
        slots, waiting = keys.slots[places], np.flatnonzero(~long)
        for probe in range(PROBES):
            tried = (slots[waiting] + probe) & SLOTS_MASK
            free = self.slots[tried] == 0
            self.slots[tried[free]] = entries[waiting[free]]
            waiting = waiting[self.slots[tried] != entries[waiting]]
            if not len(waiting):
                break
        slotless = [*np.flatnonzero(long).tolist(), *waiting.tolist()]
        self.without_slot |= {chunks[i]: int(entries[i]) - 1 for i in slotless}


class _Keys(NamedTuple):
    """The keys of chunks in the table."""

    first: np.ndarray
    """(chunks,) uint64: the first eight bytes."""
    second: np.ndarray
    """(chunks,) uint64: the next seven, and the length."""
    slots: np.ndarray
    """(chunks,) the slot to try first."""


def _hashed(content: bytes, chunks: Chunks) -> _Keys:
    starts, sizes = chunks
    padded = content + bytes(16)
    word_at = np.ndarray((len(content) + 8,), dtype="<u8", buffer=padded, strides=(1,))  # the 8 bytes from each place
    first = word_at[starts] & FIRST_BYTES.take(sizes, mode="clip")
    second = sizes.astype(np.uint64) << np.uint64(56)
    more = np.flatnonzero(sizes > 8)
    second[more] |= word_at[starts[more] + 8] & FIRST_BYTES.take(sizes[more] - 8, mode="clip")
    second[more[sizes[more] > SHORT]] = TOO_LONG
    mixed = first * FACTORS[0] + second * FACTORS[1]  # the upper bits of a product depend on all bits of its factors
    return _Keys(first, second, (mixed >> np.uint64(64 - SLOTS_BITS)).view(np.int64))
