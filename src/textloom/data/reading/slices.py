"""Rows of tables, some thousand at a time: the interface of their readers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from textloom.errors import DataError

if TYPE_CHECKING:
    import pyarrow

ROWS = 10_000  # of a table in memory at once


class Slice(Protocol):
    """Some rows of a table."""

    @property
    def names(self) -> Sequence[str]:
        """The names of the columns, as far as they are known."""

    @property
    def complete(self) -> bool:
        """True if no further column can appear."""

    def __len__(self) -> int:
        """Number of rows."""

    def column(self, name: str) -> list[Any]:
        """The cells of a column, one for each row; None for a missing one."""

    def place(self, row: int) -> str:
        """The place of a row, such as "line 12"."""


@dataclass(frozen=True)
class ArrowSlice:
    """Rows in an Arrow table."""

    table: "pyarrow.Table | pyarrow.RecordBatch"
    names: Sequence[str]
    first: int
    """Number of the first row in its table, from 0."""
    label: str
    """The table in messages."""
    complete: bool = True

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def column(self, name: str) -> list[Any]:
        """The cells of a column as Python objects. Raises DataError for text that is not UTF-8 or a date after 9999."""
        column = self.table.column(name)
        try:
            cells: list[Any] = column.to_pylist()
        except (ValueError, OverflowError) as error:
            row = next(row for row, cell in enumerate(column) if not _readable(cell))
            reason = "text that is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
            raise DataError(
                f"{self.label}: {self.place(row)}: the column {name} cannot be read ({reason}); correct it, or leave "
                "the row out"
            ) from error
        return cells

    def place(self, row: int) -> str:
        """The number of a row, from 1."""
        return f"row {self.first + row + 1}"


def _readable(cell: "pyarrow.Scalar") -> bool:
    try:
        cell.as_py()
    except (ValueError, OverflowError):
        return False
    return True


@dataclass(frozen=True)
class TextSlice:
    """Rows of a delimited text file."""

    names: Sequence[str]
    rows: list[list[str]]
    lines: Sequence[int]
    """The line of the file in which each row begins."""
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


@dataclass(frozen=True)
class ObjectSlice:
    """Rows of a JSON file, each an object with keys of its own."""

    names: Sequence[str]
    objects: list[dict[str, Any]]
    lines: list[int]
    complete: bool = False

    def __len__(self) -> int:
        return len(self.objects)

    def column(self, name: str) -> list[Any]:
        """The values of a key; None where it is missing."""
        return [row.get(name) for row in self.objects]

    def place(self, row: int) -> str:
        """The line in which a row begins."""
        return f"line {self.lines[row]}"
