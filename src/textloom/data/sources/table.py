"""Tables in files: CSV, TSV, JSON or Parquet, with one document a row."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from textloom.config.data import SOURCES
from textloom.config.source_keys import GivenFiles, RowKeys
from textloom.data.documents import Piece, SplitName
from textloom.data.normalization import Normalizer
from textloom.data.notes import Notes, counted
from textloom.data.reading.contents import Content
from textloom.data.reading.rows import EmptyTableError, Rows, SplitColumn
from textloom.data.reading.tables import KINDS, read_table
from textloom.data.sources.files import FileSource, given_files, without_empty


class TableConfig(GivenFiles, RowKeys):
    """CSV, TSV, JSON or Parquet, plain or as gz, bz2, xz, zst or zip, with one document a row."""

    kind: Literal["table"]


@SOURCES.register(TableConfig)
class Table(FileSource[TableConfig]):
    """A document for each row of the files."""

    def files_of_splits(self) -> dict[SplitName, list[Path]]:
        """The files that the paths name."""
        return given_files(self.config)

    def read(self, normalizer: Normalizer, notes: Notes) -> Mapping[SplitName, Iterable[Piece]]:
        """The documents of the files of each split."""
        rows, self.split_column = Rows.of(self.config), SplitColumn.of(self.config)
        contents = self.contents(KINDS, notes)
        return {name: table_documents(found, rows, notes, self.split_column) for name, found in contents.items()}


def table_documents(
    contents: list[Content], rows: Rows, notes: Notes, column: SplitColumn | None = None
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
