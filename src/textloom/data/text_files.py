"""Plain text files as documents, read in pieces."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from textloom.data.contents import Content
from textloom.data.decoding import read_text, text_pieces
from textloom.data.normalization import Normalizer
from textloom.data.notes import Notes, counted
from textloom.data.spool import BLOCK, Piece
from textloom.errors import DataError

SUFFIXES = frozenset([".txt", ".text", ".md"])  # of the texts in an archive
BLANK_LINES = re.compile(r"\n[ \t]*\n\s*")
LINE_ENDS = re.compile(r"(?<![ \t])[ \t]*+\n\s*")  # with the blank lines after it


@dataclass(frozen=True)
class TextReader:
    """How text files become documents."""

    documents_are: Literal["file", "blank_line", "line"]
    """Whole files, the blocks between blank lines, or lines."""
    normalizer: Normalizer
    notes: Notes

    def documents(self, contents: list[Content]) -> Iterator[Piece]:
        """The documents of some files, in order. Raises DataError if one cannot be read or all are empty."""
        for content in without_empty(contents, self.notes):
            pieces = text_pieces(content, self.normalizer)
            if self.documents_are == "file":
                yield from pieces
            else:
                border = LINE_ENDS if self.documents_are == "line" else BLANK_LINES
                yield from bordered_documents((text for text, _ in pieces), border)


def without_empty(contents: list[Content], notes: Notes) -> list[Content]:
    """The files that hold more than white space. Raises DataError if none does."""
    empty = [content for content in contents if is_empty(content)]
    if len(empty) == len(contents):
        raise DataError(f"{contents[0].label}: the file is empty; give one that holds text")
    if len(empty) == 1:
        notes.warn(f"{empty[0].label}: the file is empty; left out")
    elif empty:
        notes.warn(f"{empty[0].label} and {counted(len(empty) - 1, 'other file')}: empty; left out")
    return [content for content in contents if content not in set(empty)]


def is_empty(content: Content) -> bool:
    """True if there is nothing but white space in a text file, nothing at all in another."""
    if content.suffix == ".parquet":
        return not any(content.blocks())
    return not any(text.strip() for text in read_text(content))


def bordered_documents(texts: Iterator[str], border: re.Pattern[str]) -> Iterator[Piece]:
    """The documents between borders of a text that comes in pieces, without white space before them."""
    buffer, searched, inside, begun = "", 0, False, False
    for text in texts:
        buffer += text
        if not begun:
            buffer = buffer.lstrip()
            begun = bool(buffer)
        first = 0
        for found in border.finditer(buffer, searched):
            if found.end() == len(buffer):
                break  # the border may go on
            yield buffer[first : found.start()], True
            first, inside = found.end(), False
        buffer = buffer[first:]
        kept = len(buffer.rstrip())  # the white space at the end may be the beginning of a border
        if kept > BLOCK:
            yield buffer[:kept], False
            buffer, kept, inside = buffer[kept:], 0, True
        searched = kept
    if buffer.rstrip() or inside:
        yield buffer.rstrip(), True
