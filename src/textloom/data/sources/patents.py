"""Patent abstracts: a file of the user's own, or a selection from PatentsView's tables."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from textloom.config.data import SOURCES
from textloom.config.patents import PatentSelection
from textloom.config.paths import TABLE_SUFFIXES
from textloom.config.section import Positive
from textloom.config.source_keys import SplitKeys
from textloom.data.documents import Piece, SplitName
from textloom.data.sources.files import FileSource

if TYPE_CHECKING:
    from textloom.data.normalization import Normalizer
    from textloom.data.notes import Notes

ABSTRACT_COLUMN = "patent_abstract"  # both in the article's CSV and in PatentsView's g_patent_abstract.tsv


class PatentsConfig(PatentSelection, SplitKeys):
    """Patent abstracts: the article's CSV, PatentsView's g_patent_abstract.tsv, or a selection from the portal."""

    kind: Literal["patents"]
    protocol: Literal["article"] | None = None
    """article: the data of "Recurrent Neural Networks by Example in Python" as published, leaky; null: clean."""
    article_window: Positive = 50
    """With protocol=article: tokens of context in a window, which batching.context must equal."""

    @property
    def split_protocol(self) -> str | None:
        """The published way in which the documents are split."""
        return self.protocol

    @property
    def has_test_split(self) -> bool:
        """False with the article's protocol."""
        return self.protocol is None and super().has_test_split

    @property
    def dealt_window(self) -> int | None:
        """The window of the article's protocol, whose training windows overlap those that validate."""
        return None if self.protocol is None else self.article_window


@SOURCES.register(PatentsConfig)
class Patents(FileSource[PatentsConfig]):
    """A document for each abstract."""

    def files_of_splits(self) -> dict[SplitName, list[Path]]:
        """The user's files, or the file of the selection. Raises DataError if that has not been fetched yet."""
        from textloom.data.patentsview.selected_file import find_selected_file
        from textloom.data.reading.files import find_files

        if self.config.source == "file":
            assert self.config.path is not None  # checked by the schema
            return {"train": find_files(self.config.path)}
        return {"train": find_files((str(find_selected_file(self.config)),))}

    def fetch(self) -> str | None:
        """Fetch the selection from the portal, if the user asks for one and it has not been fetched yet."""
        if self.config.source == "file":
            return None
        from textloom.data.patentsview.fetch import fetch

        return str(fetch(self.config))

    def read(self, normalizer: "Normalizer", notes: "Notes") -> Mapping[SplitName, Iterable[Piece]]:
        """The abstracts, to be split."""
        from textloom.data.reading.rows import RowMapping
        from textloom.data.reading.tables import table_documents

        contents = self.contents(TABLE_SUFFIXES, notes)
        rows = RowMapping((ABSTRACT_COLUMN,), key="data=table and data.text_column")
        return {"train": table_documents(contents["train"], rows, notes)}
