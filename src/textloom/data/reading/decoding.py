"""From bytes to text: UTF-8, with or without a byte-order mark, and UTF-16 and UTF-32 with one."""

import codecs
import io
import itertools
from collections.abc import Iterator

from textloom.data.documents import Piece
from textloom.data.normalization import Normalizer
from textloom.data.notes import Notes, counted
from textloom.data.reading.contents import Content
from textloom.data.reading.unreadable import SHIFT, explain
from textloom.errors import DataError

BYTE_ORDER_MARKS = {  # UTF-32 before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
LONGEST_MARK = 4


def read_text(content: Content) -> Iterator[str]:
    """The text in pieces. Raises DataError, naming the place and the cure, for another encoding or a NUL character."""
    blocks = content.blocks()
    head = b""
    for block in blocks:
        head += block
        if len(head) >= LONGEST_MARK:
            break
    mark = next((mark for mark in BYTE_ORDER_MARKS if head.startswith(mark)), b"")
    encoding = BYTE_ORDER_MARKS.get(mark, "utf-8")
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        text = decoder.decode(head[len(mark) :])
        _refuse_controls(text, encoding)
        yield text
        for block in blocks:
            text = decoder.decode(block)
            _refuse_controls(text, encoding)
            yield text
        decoder.decode(b"", final=True)
    except (UnicodeDecodeError, _ControlError) as error:
        raise DataError(f"{content.label}: {explain(content, encoding, len(mark))}") from error


def text_pieces(content: Content, normalizer: Normalizer) -> Iterator[Piece]:
    """The text as one document in pieces, normalized."""
    return normalizer.pieces(itertools.chain(((text, False) for text in read_text(content)), [("", True)]))


def text_lines(content: Content) -> Iterator[str]:
    """The lines of the text, each with its line end LF; characters are not normalized."""
    held: list[str] = []
    for text, _ in text_pieces(content, Normalizer(None)):
        whole = text.rfind("\n") + 1
        if whole:
            yield from io.StringIO("".join((*held, text[:whole])), newline="\n")
            held = []
        held.append(text[whole:])
    if last := "".join(held):
        yield last


def without_empty(contents: list[Content], notes: Notes) -> list[Content]:
    """The files that hold more than white space. Raises DataError if none does."""
    empty = [content for content in contents if _is_empty(content)]
    if len(empty) == len(contents):
        raise DataError(f"{contents[0].label}: the file is empty; give one that holds text")
    if len(empty) == 1:
        notes.warn(f"{empty[0].label}: the file is empty; left out")
    elif empty:
        notes.warn(f"{empty[0].label} and {counted(len(empty) - 1, 'other file')}: empty; left out")
    return [content for content in contents if content not in set(empty)]


def _is_empty(content: Content) -> bool:
    """True if a text file holds nothing but white space, or another file no bytes."""
    if content.suffix == ".parquet":
        return not any(content.blocks())
    return not any(text.strip() for text in read_text(content))


class _ControlError(Exception):
    """Raised for a NUL character, and for a change of the character set."""


def _refuse_controls(text: str, encoding: str) -> None:
    if "\0" in text or (SHIFT in text and encoding == "utf-8"):
        raise _ControlError
