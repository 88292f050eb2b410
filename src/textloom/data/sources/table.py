"""Tables in files: CSV, TSV, JSON or Parquet, with one document a row."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from textloom.config.data import SOURCES
from textloom.config.paths import TABLE_SUFFIXES
from textloom.config.source_keys import GivenFiles, RowKeys
from textloom.data.documents import Piece, SplitName
from textloom.data.sources.files import FileSource, given_files

if TYPE_CHECKING:
    from textloom.data.normalization import Normalizer
    from textloom.data.notes import Notes


class TableConfig(GivenFiles, RowKeys):
    """CSV, TSV, JSON or Parquet, plain or as gz, bz2, xz, zst or zip, with one document a row."""

    kind: Literal["table"]


@SOURCES.register(TableConfig)
class Table(FileSource[TableConfig]):
    """A document for each row of the files."""

    def files_of_splits(self) -> dict[SplitName, list[Path]]:
        """The files that the paths name."""
        return given_files(self.config)

    def read(self, normalizer: "Normalizer", notes: "Notes") -> Mapping[SplitName, Iterable[Piece]]:
        """The documents of the files of each split."""
        from textloom.data.reading.rows import RowMapping, SplitColumn
        from textloom.data.reading.tables import table_documents

        rows, self.split_column = RowMapping.of(self.config), SplitColumn.of(self.config)
        contents = self.contents(TABLE_SUFFIXES, notes)
        return {name: table_documents(found, rows, notes, self.split_column) for name, found in contents.items()}
