"""Where documents come from. Each source yields them in pieces, in a fixed order, for each part that it names."""

import hashlib
import importlib.resources
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from textloom.config import DataConfig, Hub, Patents, Table, TextFiles, ToyData
from textloom.data.contents import Content, contents_of
from textloom.data.finding import find_files
from textloom.data.normalization import Normalizer
from textloom.data.notes import Notes, counted
from textloom.data.rows import EmptyTableError, Rows, SplitColumn
from textloom.data.spool import Piece, SplitName
from textloom.data.tables import KINDS, read_table
from textloom.data.text_files import SUFFIXES as TEXTS
from textloom.data.text_files import TextReader, without_empty
from textloom.errors import DataError
from textloom.system.files import file_checksum

PATENT_ABSTRACT_COLUMN = "patent_abstract"  # both in the article's CSV and in PatentsView's g_patent_abstract.tsv


@dataclass(frozen=True)
class Source:
    """Documents on their way in."""

    parts: dict[SplitName, Iterator[Piece]]
    """The documents of each part that the source keeps apart, to be read in order; ``train`` alone is to be split."""
    split_column: SplitColumn | None = field(default=None)
    """What the rows of ``train`` are split by, filled while they are read."""
    normalizer: Normalizer = field(default_factory=lambda: Normalizer(None))
    """What the documents go through, with counts of what it has changed so far."""
    notes: Notes = field(default_factory=Notes)
    """What was found out about the files so far."""


def read_source(config: DataConfig, notes: Notes) -> Source:
    """The documents of a data group. Raises DataError if a file cannot be read as the group says."""
    normalizer = Normalizer(config.normalization, "file" if isinstance(config, TextFiles) else "row")
    if isinstance(config, ToyData):
        return Source({"train": normalizer.pieces([(toy_text(), True)])}, None, normalizer, notes)
    if isinstance(config, TextFiles):
        texts = TextReader(config.documents, normalizer, notes)
        parts = {name: texts.documents(files) for name, files in _contents(config, TEXTS, notes).items()}
        return Source(parts, None, normalizer, notes)
    rows, column = Rows(columns=(PATENT_ABSTRACT_COLUMN,)), None
    if isinstance(config, Table | Hub):
        rows, column = Rows.of(config), SplitColumn.of(config)
    if isinstance(config, Hub):
        from textloom.data.hub import read_hub

        parts = {name: rows.documents(slices, label, notes, column) for name, label, slices in read_hub(config)}
    else:
        files = _contents(config, frozenset(KINDS), notes)
        parts = {name: _rows_of(contents, rows, column, notes) for name, contents in files.items()}
    parts = {name: normalizer.pieces(documents) for name, documents in parts.items()}
    return Source(parts, column, normalizer, notes)


def read_pieces(config: DataConfig) -> Iterator[Piece]:
    """The documents of all parts."""
    for documents in read_source(config, Notes()).parts.values():
        yield from documents


def source_checksum(config: DataConfig) -> str:
    """A hash of the files that a data group names, and of how they are to be read."""
    contents: list[str] = []
    if isinstance(config, ToyData):
        contents = [toy_text()]
    elif isinstance(config, Hub):
        from textloom.data.hub import revision

        contents = [config.path, revision(config)]
    else:
        for name, paths in _files(config).items():
            contents += [name, *("".join(path.suffixes).lower() + _checksum(path) for path in paths)]
    settings = config.model_dump_json(exclude={"path", "validation_path", "test_path"})
    return hashlib.sha256("\n".join([settings, *contents]).encode()).hexdigest()


def file_states(config: DataConfig) -> list[tuple[str, int, int]]:
    """Name, size and time of change of each file, to notice one that changes while it is read."""
    if isinstance(config, ToyData | Hub):
        return []
    files = [path for paths in _files(config).values() for path in paths]
    return [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]


def toy_text() -> str:
    """The small text about deep learning that comes with textloom."""
    return importlib.resources.files("textloom.data").joinpath("toy.txt").read_text(encoding="utf-8")


def _contents(
    config: TextFiles | Table | Patents, suffixes: frozenset[str], notes: Notes
) -> dict[SplitName, list[Content]]:
    """What the files of each part hold."""
    left_out: list[str] = []
    for path, names in _in_several_parts(_files(config)).items():
        notes.warn(f"{path}: is in the {' and the '.join(names)} part; figures on text that was trained on say nothing")
    contents: dict[SplitName, list[Content]] = {
        name: [content for path in paths for content in contents_of(path, suffixes, left_out)]
        for name, paths in _files(config).items()
    }
    if left_out:
        others = f" and {counted(len(left_out) - 1, 'other member')}" if len(left_out) > 1 else ""
        notes.warn(f"{left_out[0]}{others}: left out, because other members end in {', '.join(sorted(suffixes))}")
    return contents


def _files(config: TextFiles | Table | Patents) -> dict[SplitName, list[Path]]:
    """The files of each part that is given."""
    if isinstance(config, Patents):
        return {"train": find_files(_patent_files(config))}
    files: dict[SplitName, list[Path]] = {"train": find_files(config.path)}
    if config.validation_path is not None:
        files["val"] = find_files(config.validation_path, "data.validation_path")
    if config.test_path is not None:
        files["test"] = find_files(config.test_path, "data.test_path")
    return files


def _patent_files(config: Patents) -> tuple[str, ...]:
    if config.source == "file":
        assert config.path is not None  # the schema has seen to it
        return config.path
    from textloom.data.patentsview.prepared import find_prepared

    return (str(find_prepared(config)),)


def _checksum(path: Path) -> str:
    try:
        return file_checksum(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error


def _in_several_parts(files: dict[SplitName, list[Path]]) -> dict[Path, list[SplitName]]:
    parts: dict[Path, list[SplitName]] = {}
    for name, paths in files.items():
        for path in paths:
            parts.setdefault(path.resolve(), []).append(name)
    return {path: names for path, names in parts.items() if len(names) > 1}


def _rows_of(contents: list[Content], rows: Rows, column: SplitColumn | None, notes: Notes) -> Iterator[Piece]:
    """The documents of some tables. Raises DataError if none has any; warns of those without."""
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
