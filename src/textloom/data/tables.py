"""Tables of any kind in slices of some thousand rows, each read exactly as its file holds it."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from textloom.data import piped
from textloom.data.contents import Content
from textloom.data.notes import Notes
from textloom.errors import DataError

if TYPE_CHECKING:
    import pyarrow

ROWS = 10_000  # of a table in memory at once
KINDS = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json", ".parquet")


class Slice(Protocol):
    """Some rows of a table."""

    @property
    def names(self) -> Sequence[str]:
        """The names of the columns, as far as they are known."""

    @property
    def complete(self) -> bool:
        """True if no further column can appear."""

    def __len__(self) -> int:
        """How many rows there are."""

    def column(self, name: str) -> list[Any]:
        """The cells of a column, one a row; None for one that is missing."""

    def place(self, row: int) -> str:
        """Where a row stands, such as "line 12"."""


def read_table(content: Content, notes: Notes, columns: Sequence[str] = ()) -> Iterator[Slice]:
    """A table in slices. ``columns``: those that will be asked for. Raises DataError if it cannot be read."""
    kind = content.suffix
    if kind not in KINDS and content.path in piped.LABELS:
        raise DataError(
            f"{content.label}: has no name that says what kind of table it is; save it as FILE.csv, or read plain text "
            "with data=text_files"
        )
    if kind not in KINDS:
        raise DataError(
            f"{content.label}: not a known kind of table; its name must end in {', '.join(KINDS)}, plain or with "
            ".gz, .bz2, .xz, .zst, .zip; plain text is read with data=text_files"
        )
    if kind == ".parquet":
        return _read_parquet(content, columns)
    if kind in (".csv", ".tsv", ".tab"):
        from textloom.data.delimited import read_delimited

        return read_delimited(content, "," if kind == ".csv" else "\t", notes)
    from textloom.data.json_rows import read_json_rows

    return read_json_rows(content)


@dataclass(frozen=True)
class ArrowSlice:
    """Rows that Arrow holds."""

    table: "pyarrow.Table | pyarrow.RecordBatch"
    names: Sequence[str]
    first: int
    """The number of the first row in its table."""
    complete: bool = True

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def column(self, name: str) -> list[Any]:
        """The cells of a column as Python has them."""
        cells: list[Any] = self.table.column(name).to_pylist()
        return cells

    def place(self, row: int) -> str:
        """The number of a row, from 1."""
        return f"row {self.first + row + 1}"


def _read_parquet(content: Content, columns: Sequence[str]) -> Iterator[Slice]:
    import pyarrow
    from pyarrow import parquet

    first = 0
    try:
        with _unpacked(content) as path, parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            wanted = [name for name in dict.fromkeys(columns) if name in names] or None
            for batch in file.iter_batches(batch_size=ROWS, columns=wanted):
                yield ArrowSlice(batch, names, first)
                first += batch.num_rows
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise DataError(f"{content.label}: cannot be read as parquet ({reason}); check the file") from error


@contextmanager
def _unpacked(content: Content) -> Iterator[Path]:
    """A Parquet file as it is: its content is found from its end, which compressed files do not let one do."""
    if content.path.suffix.lower() == ".parquet":
        yield content.path
        return
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        for block in content.blocks():
            file.write(block)
        file.flush()
        yield Path(file.name)
