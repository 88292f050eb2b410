"""CSV and TSV as spreadsheets, databases and pandas write them.

In CSV a cell may stand in quotation marks, those inside it doubled, and then hold separators and line ends. TSV knows
no quotation marks, but many programs write them all the same: they count if the whole file closes each that it opens.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from textloom.data.contents import Content
from textloom.data.decoding import read_text, text_lines
from textloom.data.notes import Notes
from textloom.data.tables import ROWS, Slice
from textloom.errors import DataError

SEPARATORS = (";", "\t", "|", ",")  # tried if a table seems to have one column
LONGEST_CELL = 1 << 27  # characters; longer than any text in one cell, shorter than memory
NAMED_SEPARATOR = re.compile(r'"?sep=(.)"?\n', re.IGNORECASE)  # Excel's first line
ONE_TEXT_A_LINE = ", or read one text a line with data=text_files data.documents=line"
SWALLOWED = 3  # lines of a cell that look like rows, from which on a quotation mark is suspected to be a stray one


@dataclass(frozen=True)
class TextSlice:
    """Rows of text."""

    names: Sequence[str]
    rows: list[list[str]]
    lines: list[int]
    """In which line of the file each row begins."""
    complete: bool = True

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> list[str]:
        """The cells of a column."""
        number = self.names.index(name)
        return [row[number] for row in self.rows]

    def place(self, row: int) -> str:
        """The line of a row."""
        return f"line {self.lines[row]}"


def read_delimited(content: Content, separator: str, notes: Notes) -> Iterator[Slice]:
    """A CSV or TSV table in slices. Raises DataError, naming the line, for one that cannot be read exactly."""
    csv.field_size_limit(LONGEST_CELL)
    separator, skipped = _separator(content, separator)
    quoting = separator != "\t" or _is_quoted(content, skipped)
    reader = _Reader(content, separator, skipped, quoting)
    names = _column_names(next(reader.rows(), []))
    if not names:
        return
    short = swallowing = 0
    first_short = first_swallowing = 0
    rows: list[list[str]] = []
    lines: list[int] = []
    for row in reader.rows():
        if len(row) != len(names):
            row, is_short = reader.fitted(row, names)
            short, first_short = short + is_short, first_short or is_short * reader.begins
        if reader.ends - reader.begins >= SWALLOWED and _swallows(row, separator):
            swallowing, first_swallowing = swallowing + 1, first_swallowing or reader.begins
        rows.append(row)
        lines.append(reader.begins)
        if len(rows) == ROWS:
            yield TextSlice(names, rows, lines)
            rows, lines = [], []
    if rows:
        yield TextSlice(names, rows, lines)
    if short:
        notes.warn(
            f"{content.label}: {short:,} rows have fewer cells than the header, the first in line {first_short}; "
            "cells that are missing at the end are taken for empty ones"
        )
    if swallowing:
        notes.warn(
            f"{content.label}: line {first_swallowing}: a quoted cell of several lines, each of which looks like a row "
            f"({swallowing:,} such in all); is a quotation mark left open there?"
        )


class _Reader:
    """Rows with the lines that they stand in."""

    def __init__(self, content: Content, separator: str, skipped: int, quoting: bool):
        self.content = content
        self.begins = self.ends = 0
        self._skipped = skipped
        lines = text_lines(content)
        for _ in range(skipped):
            next(lines)
        self._reader = csv.reader(
            lines, delimiter=separator, strict=True, quoting=csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE
        )

    def rows(self) -> Iterator[list[str]]:
        """All rows that are left, without blank lines. Raises DataError for quotation marks that do not fit."""
        self.begins = self._reader.line_num + self._skipped + 1
        try:
            for row in self._reader:
                self.ends = self._reader.line_num + self._skipped
                if row:
                    yield row
                self.begins = self.ends + 1
        except csv.Error as error:
            kind = self.content.suffix[1:]
            raise DataError(
                f"{self.content.label}: cannot be read as {kind}: line {self.begins}: {_explained(error)}"
            ) from error

    def fitted(self, row: list[str], names: Sequence[str]) -> tuple[list[str], bool]:
        """A row with as many cells as there are columns, and whether some were missing.

        Raises DataError if there are more, other than empty ones.
        """
        if len(row) < len(names):
            return row + [""] * (len(names) - len(row)), True
        if any(row[len(names) :]):
            raise DataError(
                f"{self.content.label}: cannot be read as {self.content.suffix[1:]}: line {self.begins} has {len(row)} "
                f"cells, and the header names {len(names)}; put quotation marks around cells that hold separators, and "
                f"name all columns{ONE_TEXT_A_LINE if len(names) == 1 else ''}"
            )
        return row[: len(names)], False


def _explained(error: csv.Error) -> str:
    reason = str(error)
    if "unexpected end" in reason or "field limit" in reason:
        return "a quotation mark opens a cell and never closes it; close it, or double it if it belongs to the text"
    if "expected after" in reason:
        return "text after a closing quotation mark; double quotation marks inside a quoted cell"
    return f"cannot be read as a table ({reason})"


def _separator(content: Content, usual: str) -> tuple[str, int]:
    """What separates the columns, and how many lines come before the header.

    A single column that another separator takes apart is separated by it: the semicolons of spreadsheets.
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
    """True if quotation marks enclose cells in a whole TSV file: each is closed, and none swallows rows."""
    if not any(re.search(r'(^|[\t\n])"', text) for text in read_text(content)):
        return False  # either way of reading gives the same
    if next(text_lines(content), "").startswith('"'):
        return True  # even the names are in quotation marks
    reader = _Reader(content, "\t", skipped, quoting=True)
    width = 0
    try:
        for row in reader.rows():
            width = width or len(row)
            if len(row) != width or (reader.ends > reader.begins and width > 1 and _swallows(row, "\t")):
                return False
    except DataError:
        return False
    return True


def _swallows(row: list[str], separator: str) -> bool:
    """True if each line of a row with line ends in it looks like a row of its own."""
    for number, cell in enumerate(row):
        if "\n" in cell:
            first, *inner, last = (line.count(separator) for line in cell.split("\n"))
            others = len(row) - 1
            if others and first == others - number and last == number and set(inner) <= {others}:
                return True
    return False


def _column_names(header: list[str]) -> list[str]:
    """The names of the columns; one without a name gets that which pandas gives it."""
    return [name if name.strip() else f"Unnamed: {number}" for number, name in enumerate(header)]
