"""From the rows of tables to documents: which columns make the text, which rows stay, what they are split by."""

import datetime
import string
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from textloom.config import Bounds, RowKeys
from textloom.data.spool import SPLITS, Piece, SplitName
from textloom.errors import DataError

if TYPE_CHECKING:
    import pyarrow

LABELS: dict[str, SplitName] = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test",
}  # fmt: skip


@dataclass
class SplitColumn:
    """A column that says in which part a row is, or when it was: for each row that became a document one number."""

    name: str
    places: array = field(default_factory=lambda: array("d"))  # type: ignore[type-arg]
    labels: bool | None = None
    """Whether the numbers are those of parts; None before the first row."""

    @classmethod
    def of(cls, keys: RowKeys) -> "SplitColumn | None":
        """The column that a data group splits by, if any."""
        return None if keys.split_by is None else cls(keys.split_by)

    def add(self, value: Any, label: str) -> None:
        """Take in the value of a row. Raises DataError where it is neither a part, a date nor a number."""
        part = LABELS.get(str(value).strip().lower())
        place = SPLITS.index(part) if part else _number_of(value)
        if place is None or self.labels not in (None, part is not None):
            kinds = "the name of a part (train, validation, test)" if self.labels else "a date (YYYY-MM-DD) or a number"
            raise DataError(f"{label}: data.split_by={self.name}: {value!r} is not {kinds}; name another column")
        self.labels = part is not None
        self.places.append(place)


@dataclass(frozen=True)
class Rows:
    """How rows become documents."""

    columns: tuple[str, ...]
    """Whose texts are the document."""
    template: str = "{0}"
    """With the numbers of the columns in braces."""
    filters: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, keys: RowKeys) -> "Rows":
        """What a data group says."""
        if keys.template is None:
            return cls((keys.text_column,), filters=keys.filters or {})
        parsed = [(text, name) for text, name, _, _ in string.Formatter().parse(keys.template)]
        columns = tuple(dict.fromkeys(name for _, name in parsed if name))
        escaped = ((text.replace("{", "{{").replace("}", "}}"), name) for text, name in parsed)
        template = "".join(text + (f"{{{columns.index(name)}}}" if name else "") for text, name in escaped)
        return cls(columns, template, keys.filters or {})

    def documents(
        self, tables: Iterator["pyarrow.Table"], label: str, split_column: SplitColumn | None = None
    ) -> Iterator[Piece]:
        """The rows that pass the filters and hold text. Raises DataError where a column is missing, or none does."""
        split_by = [split_column.name] if split_column else []
        filled = known = False
        for table in tables:
            if not known:
                self._check(table, label, split_by)
                known = True
            texts = [_texts(table, name, label) for name in self.columns]
            kept = self._kept(table)
            by = table.column(split_column.name).to_pylist() if split_column else None
            for i, row in enumerate(zip(*texts, strict=True)):
                if kept[i] and any(text.strip() for text in row):
                    if split_column and by is not None:
                        split_column.add(by[i], label)
                    filled = True
                    yield self.template.format(*row) if self.template != "{0}" else row[0], True
        if not known:
            raise DataError(f"{label}: the table has no rows; give one that holds text")
        if not filled:
            passed = " in the rows that pass data.filters" if self.filters else ""
            what = f"the column {self.columns[0]} is" if len(self.columns) == 1 else f"{', '.join(self.columns)} are"
            raise DataError(f"{label}: {what} empty{passed}; give one that holds text")

    def _check(self, table: "pyarrow.Table", label: str, split_by: list[str]) -> None:
        keys = dict.fromkeys(self.columns, "data.text_column" if self.template == "{0}" else "data.template")
        keys |= dict.fromkeys(self.filters, "data.filters") | dict.fromkeys(split_by, "data.split_by")
        for name, key in keys.items():
            if name not in table.column_names:
                cure = "" if name == "patent_abstract" else f"; set {key}"
                columns = ", ".join(map(str, table.column_names))
                raise DataError(f"{label}: there is no column {name}; its columns are {columns}{cure}")

    def _kept(self, table: "pyarrow.Table") -> np.ndarray:
        kept = np.ones(table.num_rows, dtype=bool)
        for name, wanted in self.filters.items():
            kept &= [_passes(value, wanted) for value in table.column(name).to_pylist()]
        return kept


def _texts(table: "pyarrow.Table", column: str, label: str) -> list[str]:
    texts = table.column(column).to_pylist()
    if not all(text is None or isinstance(text, str) for text in texts):
        kind = next(type(text).__name__ for text in texts if text is not None and not isinstance(text, str))
        raise DataError(f"{label}: the column {column} holds {kind}, not text; name one that holds text")
    return [text or "" for text in texts]


def _passes(value: Any, wanted: Any) -> bool:
    """Whether a cell is what a filter asks for: a value, one of a list, or within bounds, both of which may be met."""
    if value is None:
        return False
    if isinstance(wanted, Bounds):
        least, greatest = wanted.min, wanted.max
        return (least is None or _compared(value, least, False)) and (
            greatest is None or _compared(value, greatest, True)
        )
    choices = wanted if isinstance(wanted, tuple) else (wanted,)
    return any(_equal(value, choice) for choice in choices)


def _equal(value: Any, choice: Any) -> bool:
    if isinstance(choice, bool):
        return str(value).strip().lower() == str(choice).lower()
    if isinstance(choice, int | float):
        return bool(_number(value) == choice)
    return bool(str(value) == choice)


def _compared(value: Any, bound: Any, below: bool) -> bool:
    if isinstance(bound, str):
        return str(value) <= bound if below else str(value) >= bound
    number = _number(value)
    return number is not None and bool(number <= bound if below else number >= bound)


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _number_of(value: Any) -> float | None:
    """Seconds since 1970 of a date, or a number as it is."""
    number = _number(value)
    if number is not None and np.isfinite(number):
        return number
    try:
        moment = value if isinstance(value, datetime.date) else datetime.datetime.fromisoformat(str(value).strip())
    except ValueError:
        return None
    if not isinstance(moment, datetime.datetime):
        moment = datetime.datetime(moment.year, moment.month, moment.day)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    return moment.timestamp()
