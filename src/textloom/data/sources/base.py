"""The interface of data sources."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from textloom.config.source_keys import SplitKeys
from textloom.data.documents import Piece, SplitName

if TYPE_CHECKING:
    from textloom.data.normalization import Normalizer
    from textloom.data.notes import Notes
    from textloom.data.reading.rows import SplitColumn

ConfigT = TypeVar("ConfigT", bound=SplitKeys)


class Source(ABC, Generic[ConfigT]):
    """The documents of a data group; an instance reads them once."""

    unit: ClassVar[str] = "row"
    """The word for a document in the log."""
    is_normalized: ClassVar[bool] = False
    """True if ``read`` brings the text into its normal form itself."""
    split_column: "SplitColumn | None" = None
    """The column by which ``train`` is split, filled while it is read; None to split by shares."""

    def __init__(self, config: ConfigT):
        self.config = config

    @abstractmethod
    def read(self, normalizer: "Normalizer", notes: "Notes") -> Mapping[SplitName, Iterable[Piece]]:
        """The documents of each split that the source keeps apart, always in the same order, ``train`` first.

        If there is only ``train``, it is split. A piece is a text, and True if its document ends there. Findings about
        the source go to ``notes``. Raises DataError if something cannot be read.
        """

    @abstractmethod
    def identity(self) -> list[str]:
        """Texts that change whenever the content changes: checksums of files, a revision."""

    def fetch(self) -> str | None:
        """Download remote data for ``prepare``. Returns a line that describes it, or None if there is nothing to do."""
        return None

    def files(self) -> list[Path]:
        """The files that are read, to notice one that changes meanwhile."""
        return []

    def provenance(self) -> dict[str, Any]:
        """Facts for ``provenance.json``, in plain JSON types."""
        return {}
