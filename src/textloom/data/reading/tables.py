"""Tables of any kind: in slices, each read exactly as its file holds it, and as documents."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from textloom.config.paths import TABLE_SUFFIXES
from textloom.data.documents import Piece
from textloom.data.notes import Notes, counted
from textloom.data.reading.contents import Content
from textloom.data.reading.decoding import without_empty
from textloom.data.reading.delimited import read_delimited
from textloom.data.reading.files import PIPED
from textloom.data.reading.json_rows import read_json_rows
from textloom.data.reading.rows import EmptyTableError, RowMapping, SplitColumn
from textloom.data.reading.slices import ROWS, ArrowSlice, Slice
from textloom.errors import DataError


def read_table(content: Content, notes: Notes, columns: Sequence[str] = ()) -> Iterator[Slice]:
    """The slices of a table. ``columns``: those that will be asked for. Raises DataError if it cannot be read."""
    kind = content.suffix
    if kind not in TABLE_SUFFIXES and content.path in PIPED:
        raise DataError(
            f"{content.label}: has no name that says what kind of table it is; save it as FILE.csv, or read plain text "
            "with data=text_files"
        )
    if kind not in TABLE_SUFFIXES:
        raise DataError(
            f"{content.label}: no known kind of table; its name must end in {', '.join(TABLE_SUFFIXES)}, plain or with "
            ".gz, .bz2, .xz, .zst, .zip; plain text is read with data=text_files"
        )
    if kind == ".parquet":
        return _read_parquet(content, columns)
    if kind in (".csv", ".tsv", ".tab"):
        return read_delimited(content, "," if kind == ".csv" else "\t", notes)
    return read_json_rows(content)


def table_documents(
    contents: list[Content], rows: RowMapping, notes: Notes, column: SplitColumn | None = None
) -> Iterator[Piece]:
    """The documents of some tables. Raises DataError if none has any; those without are noted."""
    wanted = list(rows.needed(column))
    contents = without_empty(contents, notes)
    empty: list[EmptyTableError] = []
    for content in contents:
        try:
            yield from rows.documents(read_table(content, notes, wanted), content.label, notes, column)
        except EmptyTableError as error:
            empty.append(error)
    if len(empty) == len(contents):
        raise empty[0]
    if empty:
        others = f", and {counted(len(empty) - 1, 'other table')}" if len(empty) > 1 else ""
        notes.warn(f"{empty[0].reason}; left out{others}")


def _read_parquet(content: Content, columns: Sequence[str]) -> Iterator[Slice]:
    import pyarrow  # a large import that only Parquet needs
    from pyarrow import parquet

    first = 0
    try:
        with _unpacked(content) as path, parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            wanted = [name for name in dict.fromkeys(columns) if name in names] or None
            for batch in file.iter_batches(batch_size=ROWS, columns=wanted):
                yield ArrowSlice(batch, names, first, content.label)
                first += batch.num_rows
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise DataError(f"{content.label}: cannot be read as parquet ({reason}); check the file") from error


@contextmanager
def _unpacked(content: Content) -> Iterator[Path]:
    """The path of a decompressed Parquet file, which is read from its end."""
    if content.path.suffix.lower() == ".parquet":
        yield content.path
        return
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        for block in content.blocks():
            file.write(block)
        file.flush()
        yield Path(file.name)
