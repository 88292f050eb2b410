"""CSV and TSV as spreadsheets, databases and pandas write them.

A CSV cell in quotation marks, with those inside it doubled, may hold separators and line ends. TSV has no quotation
marks, but many programs write them all the same: they count if every one that is opened in the file is closed.
"""

import csv
import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textloom.data.notes import Notes, counted
from textloom.data.reading.contents import Content
from textloom.data.reading.decoding import read_text, text_lines
from textloom.data.reading.slices import ROWS, Slice, TextSlice
from textloom.errors import DataError

if TYPE_CHECKING:
    import _csv

SEPARATORS = (";", "\t", "|", ",")  # tried if a table seems to have one column
LONGEST_CELL = 1 << 27  # characters; longer than any text in one cell, shorter than memory
NAMED_SEPARATOR = re.compile(r'"?sep=(.)"?\n', re.IGNORECASE)  # the first line that Excel may write
ONE_TEXT_A_LINE = ", or read one text a line with data=text_files data.documents=line"
NULL = r"\N"  # of MySQL and PostgreSQL, which also escape line ends and tabs
SWALLOWED = 3  # lines of a cell that look like rows: with so many, a quotation mark is suspected to be stray


def read_delimited(content: Content, separator: str, notes: Notes) -> Iterator[Slice]:
    """The slices of a CSV or TSV table. Raises DataError, naming the line, if it cannot be read exactly."""
    csv.field_size_limit(LONGEST_CELL)
    separator, skipped = _separator(content, separator)
    quoting = separator != "\t" or _is_quoted(content, skipped)
    slices = _Rows(content, separator, skipped, quoting).slices()
    names: list[str] = []
    short: list[int] = []  # lines of rows with too few cells
    swallowing: list[int] = []  # lines of rows that seem to hold others
    missing: list[int] = []  # lines of rows with a missing value of a database
    for rows, lines in slices:
        if not names and rows:
            names = _column_names(rows[0])
            rows, lines = rows[1:], lines[1:]
        if set(map(len, rows)) - {len(names)}:
            short += [line for row, line in zip(rows, lines, strict=True) if len(row) < len(names)]
            rows = [_padded(row, len(names), content, line) for row, line in zip(rows, lines, strict=True)]
        if not quoting:
            missing += [line for row, line in zip(rows, lines, strict=True) if NULL in row]
        if not isinstance(lines, range):
            swallowing += [
                line for row, line in zip(rows, lines, strict=True) if _swallows(row, separator, at_least=SWALLOWED)
            ]
        if rows:
            yield TextSlice(names, rows, lines)
    if short:
        notes.warn(
            f"{content.label}: line {short[0]}: fewer cells than the header names ({counted(len(short), 'such row')} "
            "in all); the last columns are read as empty there"
        )
    if missing:
        notes.warn(
            f"{content.label}: line {missing[0]}: a cell is {NULL}, a missing value as databases write it "
            f"({counted(len(missing), 'such row')} in all); it is read as it stands, as are their \\n and \\t; write "
            "the table as CSV"
        )
    if swallowing:
        notes.warn(
            f"{content.label}: line {swallowing[0]}: a quoted cell of several lines, each of which looks like a row "
            f"({counted(len(swallowing), 'such cell')} in all); is a quotation mark left open there?"
        )


@dataclass(frozen=True)
class _Rows:
    """The rows of a table, its header first, without blank lines."""

    content: Content
    separator: str
    skipped: int
    """Lines before the header."""
    quoting: bool

    def slices(self) -> Iterator[tuple[list[list[str]], Sequence[int]]]:
        """Some rows at a time, and the lines in which they begin: a range if no cell holds a line end.

        Raises DataError for quotation marks that do not fit.
        """
        reader, before = self._reader(), 0
        while True:
            try:
                rows = list(itertools.islice(reader, ROWS))
            except csv.Error as error:
                kind = self.content.suffix[1:]
                raise DataError(
                    f"{self.content.label}: cannot be read as {kind}: line {self._line_of_error()}: {_explained(error)}"
                ) from error
            if not rows:
                return
            lines: Sequence[int] = range(self.skipped + before + 1, self.skipped + reader.line_num + 1)
            if len(lines) > len(rows):
                heights = (1 + sum(cell.count("\n") for cell in row) for row in rows)
                lines = list(itertools.accumulate(heights, initial=lines[0]))[:-1]
            before = reader.line_num
            if [] in rows:
                lines = [line for row, line in zip(rows, lines, strict=True) if row]
                rows = [row for row in rows if row]
            yield rows, lines

    def _reader(self) -> "_csv.Reader":
        lines = text_lines(self.content)
        for _ in range(self.skipped):
            next(lines)
        if self.quoting:
            return csv.reader(lines, delimiter=self.separator, strict=True)
        return csv.reader(lines, delimiter=self.separator, quoting=csv.QUOTE_NONE)

    def _line_of_error(self) -> int:
        """The line in which the unreadable row begins."""
        reader = self._reader()
        begins = 0
        with suppress(csv.Error):
            for _ in reader:
                begins = reader.line_num
        return self.skipped + begins + 1


def _padded(row: list[str], columns: int, content: Content, line: int) -> list[str]:
    """The row with as many cells as there are columns. Raises DataError if cells beyond those are not empty."""
    if any(row[columns:]):
        raise DataError(
            f"{content.label}: cannot be read as {content.suffix[1:]}: line {line} has {len(row)} "
            f"cells, and the header names {columns}; put quotation marks around cells that hold separators, and "
            f"name all columns{ONE_TEXT_A_LINE if columns == 1 else ''}"
        )
    return row[:columns] + [""] * (columns - len(row))


def _explained(error: csv.Error) -> str:
    reason = str(error)
    if "unexpected end" in reason or "field limit" in reason:
        return "a quotation mark opens a cell and never closes it; close it, or double it if it belongs to the text"
    if "expected after" in reason:
        return "text after a closing quotation mark; double quotation marks inside a quoted cell"
    return f"cannot be read as a table ({reason})"


def _separator(content: Content, usual: str) -> tuple[str, int]:
    """The separator of the columns, and the number of lines before the header.

    If the usual separator gives one column and another gives more, such as the semicolon of spreadsheets, that is it.
    """
    first = next(text_lines(content), "")
    named = NAMED_SEPARATOR.fullmatch(first)
    if named:
        return named[1], 1
    counts: dict[str, int] = {}
    for candidate in (usual, *SEPARATORS):
        try:
            counts[candidate] = len(
                next((row for row in csv.reader(text_lines(content), delimiter=candidate) if row), [])
            )
        except csv.Error:
            counts[candidate] = 0
        if counts[usual] > 1:
            return usual, 0
    return max(counts, key=lambda candidate: counts[candidate]), 0


def _is_quoted(content: Content, skipped: int) -> bool:
    """True if quotation marks enclose cells throughout a TSV file: each is closed, and none swallows rows."""
    if not any(re.search(r'(^|[\t\r\n])"', text) for text in read_text(content)):
        return False  # both ways of reading give the same
    if next(text_lines(content), "").startswith('"'):
        return True  # column names in quotation marks
    width = 0
    try:
        for rows, lines in _Rows(content, "\t", skipped, quoting=True).slices():
            width = width or len(next(iter(rows), []))
            if set(map(len, rows)) - {width}:
                return False
            if not isinstance(lines, range) and any(_swallows(row, "\t", at_least=1) for row in rows):
                return False
    except DataError:
        return False
    return True


def _swallows(row: list[str], separator: str, at_least: int) -> bool:
    """True if a cell holds at least so many line ends, and each of its lines looks like a row."""
    others = len(row) - 1
    for number, cell in enumerate(row):
        if others and cell.count("\n") >= at_least:
            first, *inner, last = (line.count(separator) for line in cell.split("\n"))
            if first == others - number and last == number and set(inner) <= {others}:
                return True
    return False


def _column_names(header: list[str]) -> list[str]:
    """The names of the columns; a missing one is named as pandas does."""
    return [name if name.strip() else f"Unnamed: {number}" for number, name in enumerate(header)]
