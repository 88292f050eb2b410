"""Plain text files as documents, read in pieces."""

import codecs
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from textloom.data.normalization import Normalizer
from textloom.data.notes import Notes
from textloom.data.spool import BLOCK, Piece
from textloom.errors import DataError

BLANK_LINES = re.compile(r"\n[ \t]*\n\s*")


@dataclass(frozen=True)
class TextReader:
    """How text files become documents."""

    documents_are: Literal["file", "blank_line"]
    """Whole files, or the blocks between blank lines."""
    normalizer: Normalizer
    notes: Notes

    def documents(self, paths: list[Path]) -> Iterator[Piece]:
        """The documents of some files, in order. Raises DataError if one cannot be read or all are empty."""
        empty = [path for path in paths if _is_empty(path)]
        if len(empty) == len(paths):
            raise DataError(f"{paths[0]}: the file is empty; give one that holds text")
        for path in paths:
            if path in empty:
                self.notes.warn(f"{path}: the file is empty; left out")
                continue
            texts = itertools.chain(((text, False) for text in _read_text(path)), [("", True)])
            pieces = self.normalizer.pieces(texts)
            yield from pieces if self.documents_are == "file" else blank_line_documents(text for text, _ in pieces)


def blank_line_documents(texts: Iterator[str]) -> Iterator[Piece]:
    """The blocks between blank lines of a text that comes in pieces, as documents without white space around them."""
    buffer, searched, inside, begun = "", 0, False, False
    for text in texts:
        buffer += text
        if not begun:
            buffer = buffer.lstrip()
            begun = bool(buffer)
        while (found := BLANK_LINES.search(buffer, searched)) and found.end() < len(buffer):
            yield buffer[: found.start()], True
            buffer, searched, inside = buffer[found.end() :], 0, False
        kept = len(buffer.rstrip())  # the white space at the end may be the beginning of a border
        if kept > BLOCK:
            yield buffer[:kept], False
            buffer, kept, inside = buffer[kept:], 0, True
        searched = kept
    if buffer.rstrip() or inside:
        yield buffer.rstrip(), True


def _is_empty(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return not any(block.strip() for block in iter(lambda: file.read(BLOCK), b""))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error


def _read_text(path: Path) -> Iterator[str]:
    """The text of a UTF-8 file in pieces."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    position = 0
    try:
        with path.open("rb") as file:
            if file.read(3) != codecs.BOM_UTF8:
                file.seek(0)
            position = file.tell()
            while content := file.read(BLOCK):
                if b"\0" in content:
                    raise DataError(f"{path}: a binary file, not text; give a UTF-8 text file")
                position -= len(decoder.getstate()[0])
                text = decoder.decode(content)
                position = file.tell()
                yield text
            position -= len(decoder.getstate()[0])
            yield decoder.decode(b"", final=True)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not UTF-8 at byte {position + error.start}; convert it, for example with iconv -f LATIN1 -t UTF-8"
        ) from error
