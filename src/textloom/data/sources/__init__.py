"""Data sources, from which documents are read: one module for each kind, with its config class and its code.

A source from outside is registered in the same way, by a plugin::

    class LinesConfig(SplitKeys):
        kind: Literal["lines"]
        path: PathText

    @SOURCES.register(LinesConfig)
    class Lines(Source[LinesConfig]):
        def read(self, normalizer, notes):
            return {"train": [(line, True) for line in Path(self.config.path).read_text().splitlines()]}

        def identity(self):
            return [file_checksum(Path(self.config.path))]

Every command imports these modules for their config classes, ``--help`` too. The modules that read files add 40 ms
to a start, so the methods that read import them.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from textloom.config.data import SOURCES, DataConfig
from textloom.data.documents import Piece, SplitName
from textloom.data.normalization import Normalizer
from textloom.data.notes import Notes
from textloom.data.sources.base import Source

if TYPE_CHECKING:
    from textloom.data.reading.rows import SplitColumn

__all__ = ["Source", "SourceDocuments", "build_source", "file_states", "read_source", "source_checksum"]


@dataclass(frozen=True)
class SourceDocuments:
    """The documents of a source, ready to be read once."""

    splits: Mapping[SplitName, Iterable[Piece]]
    """The documents of each split of the source, to be read in this order; if there is only ``train``, it is split."""
    split_column: "SplitColumn | None" = None
    """The column by which ``train`` is split, filled while it is read."""
    normalizer: Normalizer = field(default_factory=lambda: Normalizer(None))
    """The normalizer of the text, which counts its changes."""
    notes: Notes = field(default_factory=Notes)
    """Findings about the source so far."""


def build_source(config: DataConfig) -> Source[Any]:
    """The source of a data group."""
    source: Source[Any] = SOURCES.build(config)
    return source


def read_source(config: DataConfig, notes: Notes | None = None) -> SourceDocuments:
    """The documents of a data group, normalized. Raises DataError if a file cannot be read as the group says."""
    source, notes = build_source(config), notes or Notes()
    normalizer = Normalizer(config.normalization, source.unit)
    splits = source.read(normalizer, notes)
    if not source.is_normalized:
        splits = {name: normalizer.pieces(pieces) for name, pieces in splits.items()}
    return SourceDocuments(splits, source.split_column, normalizer, notes)


def source_checksum(config: DataConfig) -> str:
    """A hash of the content of a source and of the keys that define how it is read."""
    settings = config.model_dump_json(exclude={"path", "validation_path", "test_path"})
    return hashlib.sha256("\n".join([settings, *build_source(config).identity()]).encode()).hexdigest()


def file_states(config: DataConfig) -> list[tuple[str, int, int]]:
    """Name, size and time of change of each file, to notice one that changes while it is read."""
    states = ((path, path.stat()) for path in build_source(config).files())
    return [(str(path), state.st_size, state.st_mtime_ns) for path, state in states]
