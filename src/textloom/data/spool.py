"""The spool: documents in a temporary file, read in pieces of bounded size.

Memory holds neither a whole document nor a whole split, only 16 bytes for each document.
"""

import codecs
import itertools
import os
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from textloom.data.documents import BLOCK, Piece
from textloom.errors import DataError
from textloom.system.progress import advance


class Spool:
    """Documents end to end in an unnamed file, which is deleted when the process ends."""

    def __init__(self, directory: Path | None = None):
        self.directory = directory
        try:
            if directory is not None:
                directory.mkdir(parents=True, exist_ok=True)
            self.file = tempfile.TemporaryFile(dir=directory, buffering=BLOCK)  # noqa: SIM115
        except OSError:  # use the system's folder
            self.directory = None
            self.file = tempfile.TemporaryFile(buffering=BLOCK)  # noqa: SIM115
        self._lengths = array("q")  # bytes of each document

    def fill(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """Write documents, yielding each piece after it is written. Raises DataError if the disk is full."""
        length = 0
        for piece in pieces:
            content = piece[0].encode("utf-8", "surrogatepass")
            self._write(content)
            length += len(content)
            if piece[1]:
                self._lengths.append(length)
                length = 0
            yield piece
        self._write(b"", flush=True)

    def whole(self) -> "DocumentSet":
        """All documents."""
        borders = np.zeros(len(self._lengths) + 1, dtype=np.int64)
        np.cumsum(self._lengths, out=borders[1:])
        return DocumentSet(self, borders[:-1], borders[1:])

    def read(self, begin: int, end: int) -> bytes:
        """The bytes from ``begin`` to ``end``."""
        return os.pread(self.file.fileno(), end - begin, begin)

    def _write(self, content: bytes, flush: bool = False) -> None:
        try:
            self.file.write(content)
            advance(len(content))
            if flush:
                self.file.flush()
        except OSError as error:
            raise DataError(
                f"the text cannot be written to a temporary file ({error.strerror}); make room, or set TEXTLOOM_CACHE "
                "to a folder on a larger disk"
            ) from error


@dataclass(frozen=True)
class DocumentSet:
    """Some of the documents of a spool, in its order, such as those of a split."""

    spool: Spool
    begins: np.ndarray
    """(documents,) int64, rising: the position at which each begins, in bytes."""
    ends: np.ndarray
    """(documents,) int64: the position at which each ends."""

    def __len__(self) -> int:
        """Number of documents."""
        return len(self.begins)

    @property
    def size(self) -> int:
        """Number of bytes."""
        return int((self.ends - self.begins).sum())

    def take(self, which: np.ndarray) -> "DocumentSet":
        """The documents of the given numbers, (documents,) rising, or of a mask."""
        return DocumentSet(self.spool, self.begins[which], self.ends[which])

    def texts(self) -> Iterator[str]:
        """The text of each piece."""
        return (text for text, _ in self.pieces())

    def documents(self) -> Iterator[Iterable[str]]:
        """Each document as an iterable of its pieces, which has to be consumed before the next document."""
        pieces = self.pieces()
        for text, ends in pieces:
            yield (text,) if ends else itertools.chain((text,), _to_the_end(pieces))

    def pieces(self) -> Iterator[Piece]:
        """The pieces of the documents: several for those longer than a block."""
        decoder = codecs.getincrementaldecoder("utf-8")("surrogatepass")
        inside = False
        for content, ends in self.blocks():
            whole = ends and not inside
            yield content.decode("utf-8", "surrogatepass") if whole else decoder.decode(content, final=ends), ends
            inside = not ends

    def blocks(self) -> Iterator[tuple[bytes, bool]]:
        """The documents in UTF-8, in several blocks if they are longer than one; True with the last of each."""
        first, block = 0, BLOCK
        while first < len(self):
            base = int(self.begins[first])
            last = int(np.searchsorted(self.ends, base + block, side="right"))
            if last <= first:
                end = int(self.ends[first])
                for begin in range(base, end, block):
                    yield self.spool.read(begin, min(end, begin + block)), begin + block >= end
                    advance(min(block, end - begin))
                last = first + 1
            else:
                content = self.spool.read(base, int(self.ends[last - 1]))
                begins, ends = (self.begins[first:last] - base).tolist(), (self.ends[first:last] - base).tolist()
                for begin, end in zip(begins, ends, strict=True):
                    yield content[begin:end], True
                advance(len(content))
            first = last


def _to_the_end(pieces: Iterator[Piece]) -> Iterator[str]:
    """The rest of a document."""
    for text, ends in pieces:
        yield text
        if ends:
            return
