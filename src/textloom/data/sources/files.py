"""Base class of the sources that read files: the files of each split, and their contents."""

from abc import abstractmethod
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from textloom.config.source_keys import GivenFiles, SplitKeys
from textloom.data.documents import SplitName
from textloom.data.notes import counted
from textloom.data.sources.base import Source
from textloom.errors import DataError
from textloom.system.files import file_checksum

if TYPE_CHECKING:
    from textloom.data.notes import Notes
    from textloom.data.reading.contents import Content

ConfigT = TypeVar("ConfigT", bound=SplitKeys)


class FileSource(Source[ConfigT]):
    """A source that reads files."""

    @abstractmethod
    def files_of_splits(self) -> dict[SplitName, list[Path]]:
        """The files of each split that has some of its own. Raises DataError if a key names no file."""

    def identity(self) -> list[str]:
        """The name of each split and, for each file, its hash and the suffixes of its name, which define its format."""
        found: list[str] = []
        for name, paths in self.files_of_splits().items():
            found += [name, *("".join(path.suffixes).lower() + _checksum(path) for path in paths)]
        return found

    def files(self) -> list[Path]:
        """The files of all splits."""
        return [path for paths in self.files_of_splits().values() for path in paths]

    def contents(self, suffixes: Collection[str], notes: "Notes") -> "dict[SplitName, list[Content]]":
        """The files of each split; of a zip archive, its members with one of the suffixes."""
        from textloom.data.reading.contents import contents_of

        files = self.files_of_splits()
        for path, names in _in_several_splits(files).items():
            notes.warn(
                f"{path}: is in the {' and the '.join(names)} split; figures on text that was trained on say nothing"
            )
        left_out: list[str] = []
        contents: dict[SplitName, list[Content]] = {
            name: [content for path in paths for content in contents_of(path, frozenset(suffixes), left_out)]
            for name, paths in files.items()
        }
        if left_out:
            others = f" and {counted(len(left_out) - 1, 'other member')}" if len(left_out) > 1 else ""
            notes.warn(f"{left_out[0]}{others}: left out, because other members end in {', '.join(sorted(suffixes))}")
        return contents


def given_files(config: GivenFiles) -> dict[SplitName, list[Path]]:
    """The files that the paths of a data group name. Raises DataError if a path names none."""
    from textloom.data.reading.files import find_files

    files: dict[SplitName, list[Path]] = {"train": find_files(config.path)}
    if config.validation_path is not None:
        files["val"] = find_files(config.validation_path, "data.validation_path")
    if config.test_path is not None:
        files["test"] = find_files(config.test_path, "data.test_path")
    return files


def _checksum(path: Path) -> str:
    try:
        return file_checksum(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error


def _in_several_splits(files: dict[SplitName, list[Path]]) -> dict[Path, list[SplitName]]:
    splits: dict[Path, list[SplitName]] = {}
    for name, paths in files.items():
        for path in paths:
            splits.setdefault(path.resolve(), []).append(name)
    return {path: names for path, names in splits.items() if len(names) > 1}
