"""From rows of tables to documents: the columns of the text, the filters, and the column that splits."""

import datetime
import difflib
import itertools
import math
import string
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from textloom.config import RowKeys
from textloom.data.documents import SPLITS, Piece, SplitName
from textloom.data.normalization import normalize_text
from textloom.data.notes import Notes
from textloom.data.reading.filters import Filter, as_number, shown
from textloom.data.reading.slices import Slice
from textloom.errors import DataError

SOME = 5  # values of a column in a message
LABELS: dict[str, SplitName] = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test",
}  # fmt: skip


@dataclass
class SplitColumn:
    """A column that names the split of a row, or orders the rows: one number for each row that became a document."""

    name: str
    places: array = field(default_factory=lambda: array("d"))  # type: ignore[type-arg]
    labels: bool | None = None
    """True if the numbers are those of splits, False if they are an order; None before the first row."""

    @classmethod
    def of(cls, keys: RowKeys) -> "SplitColumn | None":
        """The column that a data group splits by, if any."""
        return None if keys.split_by is None else cls(keys.split_by)

    def add(self, value: Any, label: str) -> None:
        """Add the value of a row. Raises DataError if it is neither a split, a date nor a number."""
        part = LABELS.get(str(value).strip().lower())
        place = SPLITS.index(part) if part else _number_of(value)
        if place is None or self.labels not in (None, part is not None):
            kinds = (
                "the name of a split (train, validation, test)" if self.labels else "a date (YYYY-MM-DD) or a number"
            )
            raise DataError(f"{label}: data.split_by={self.name}: {value!r} is not {kinds}; name another column")
        self.labels = part is not None
        self.places.append(place)


class EmptyTableError(DataError):
    """Raised for a table of which no row becomes a document."""

    def __init__(self, reason: str, cure: str = "give one that holds text"):
        super().__init__(f"{reason}; {cure}")
        self.reason = reason


@dataclass(frozen=True)
class RowMapping:
    """Maps the rows of a table to documents: the columns of the text, and the filters."""

    columns: tuple[str, ...]
    """The columns whose texts make the document."""
    template: str = "{0}"
    """The document's text, with the numbers of the columns in braces."""
    key: str = "data.text_column"
    """The key that names the columns, as it is said in a message."""
    filters: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, keys: RowKeys) -> "RowMapping":
        """The mapping of a data group."""
        if keys.template is None:
            return cls((keys.text_column,), filters=keys.filters or {})
        parsed = [(text, name) for text, name, _, _ in string.Formatter().parse(keys.template)]
        columns = tuple(dict.fromkeys(name for _, name in parsed if name))
        escaped = ((text.replace("{", "{{").replace("}", "}}"), name) for text, name in parsed)
        template = "".join(text + (f"{{{columns.index(name)}}}" if name else "") for text, name in escaped)
        return cls(columns, template, "data.template", keys.filters or {})

    def documents(
        self, slices: Iterable[Slice], label: str, notes: Notes, split_column: SplitColumn | None = None
    ) -> Iterator[Piece]:
        """The documents of the rows that pass the filters and hold text.

        Raises DataError if a column is missing, EmptyTableError if there are no such rows.
        """
        by_filter = {name: Filter(name, wanted) for name, wanted in self.filters.items()}
        part: Slice | None = None
        filled, hollow, alone = 0, 0, self.template == "{0}"
        for part in slices:
            if part.complete:
                self._check(part, label, split_column)
            texts = [_texts(part, name, label) for name in self.columns]
            kept: Sequence[int] = range(len(part))
            for name, filter_ in by_filter.items():
                cells = _column(part, name)
                kept = [i for i in kept if filter_.passes(cells[i])]
            hollow_rows = set.intersection(*({i for i in kept if not column[i].strip()} for column in texts))
            full = [i for i in kept if i not in hollow_rows] if hollow_rows else kept
            filled, hollow = filled + len(full), hollow + len(kept) - len(full)
            by = _column(part, split_column.name) if split_column else None
            for i in full:
                if split_column and by is not None:
                    split_column.add(by[i], f"{label}: {part.place(i)}")
                yield texts[0][i] if alone else self.template.format(*(column[i] for column in texts)), True
        if part is None:
            raise EmptyTableError(f"{label}: the table has no rows")
        self._check(part, label, split_column)
        if not filled:
            raise self._empty(part, label, hollow > 0)
        if hollow:
            notes.info(f"{label}: {hollow:,} of {filled + hollow:,} rows hold no text; left out")

    def _empty(self, last: Slice, label: str, some_pass: bool) -> EmptyTableError:
        if self.filters and not some_pass:
            held = (f"{name} holds {_some_of(_column(last, name))}" for name in self.filters)
            return EmptyTableError(f"{label}: no row passes data.filters ({self._filters_shown()})", ", ".join(held))
        passed = f" in the rows that pass data.filters ({self._filters_shown()})" if self.filters else ""
        what = f"the column {self.columns[0]} is" if len(self.columns) == 1 else f"{', '.join(self.columns)} are"
        return EmptyTableError(f"{label}: {what} empty{passed}")

    def _filters_shown(self) -> str:
        choices = [choice for wanted in self.filters.values() for choice in _as_choices(wanted)]
        trap = "; YAML reads yes, no, on and off as true or false: put them in quotes"
        text = ", ".join(f"{name}={shown(wanted)}" for name, wanted in self.filters.items())
        return text + (trap if any(isinstance(choice, bool) for choice in choices) else "")

    def needed(self, split_column: SplitColumn | None) -> dict[str, str]:
        """The columns that are read, and the key that asks for each."""
        keys = dict.fromkeys(self.columns, self.key)
        keys |= dict.fromkeys(self.filters, "data.filters")
        return keys if split_column is None else keys | {split_column.name: "data.split_by"}

    def _check(self, part: Slice, label: str, split_column: SplitColumn | None) -> None:
        for name, key in self.needed(split_column).items():
            found = [number for number, column in enumerate(part.names, start=1) if _same(column, name)]
            if not found:
                close = difflib.get_close_matches(name.lower(), [column.lower() for column in part.names], n=1)
                meant = next((column for column in part.names if [column.lower()] == close), None)
                hint = f", did you mean {_quoted(meant)}?" if meant is not None else ""
                columns = ", ".join(map(_quoted, part.names))
                raise DataError(f"{label}: there is no column {name}{hint}; its columns are {columns}; set {key}")
            if len(found) > 1:
                raise DataError(
                    f"{label}: {len(found)} columns are named {name} (numbers {', '.join(map(str, found))}); "
                    "rename all but one"
                )


def _quoted(name: str) -> str:
    """The name of a column, in quotation marks if blanks are part of it."""
    return name if name.strip() == name else repr(name)


def _some_of(cells: list[Any]) -> str:
    """A few different values."""
    distinct = dict.fromkeys(map(str, cells))
    shown_values = ", ".join(f"{value!r:.40}" for value in itertools.islice(distinct, SOME))
    return shown_values + (", ..." if len(distinct) > SOME else "")


def _as_choices(wanted: Any) -> tuple[Any, ...]:
    return wanted if isinstance(wanted, tuple) else (wanted,)


def _same(column: str, name: str) -> bool:
    """True for canonically equivalent names."""
    return column == name or (not name.isascii() and normalize_text(column, "nfc") == normalize_text(name, "nfc"))


def _column(part: Slice, name: str) -> list[Any]:
    return part.column(next((column for column in part.names if _same(column, name)), name))


def _texts(part: Slice, column: str, label: str) -> list[str]:
    texts = _column(part, column)
    for i, text in enumerate(texts):
        if isinstance(text, float) and math.isnan(text):  # a missing text, as pandas writes it into JSON
            texts[i] = None
        elif text is not None and not isinstance(text, str):
            raise DataError(
                f"{label}: {part.place(i)}: the column {column} holds {type(text).__name__}, not text; "
                "write it as text, or name a column that holds text"
            )
        elif text and "\0" in text:
            raise DataError(f"{label}: {part.place(i)}: the column {column} holds a NUL character; remove it")
    return [text or "" for text in texts]


def _number_of(value: Any) -> float | None:
    """Seconds since 1970 of a date, or a number as it is."""
    number = as_number(value)
    if number is not None and math.isfinite(number):
        return float(number)
    try:
        moment = value if isinstance(value, datetime.date) else datetime.datetime.fromisoformat(str(value).strip())
    except ValueError:
        return None
    if not isinstance(moment, datetime.datetime):
        moment = datetime.datetime(moment.year, moment.month, moment.day)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    return moment.timestamp()
