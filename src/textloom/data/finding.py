"""Which files paths and globs name."""

import difflib
import fnmatch
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from textloom.config.paths import with_home
from textloom.data import piped
from textloom.errors import DataError

MAGIC = re.compile(r"[*?[]")


def find_files(patterns: tuple[str, ...], key: str = "data.path") -> list[Path]:
    """The files that paths and globs name, sorted by name, each file once: a link is the file that it leads to.

    ``-`` is standard input. Raises DataError if a pattern names no file.
    """
    found: set[Path] = set()
    for pattern in patterns:
        try:
            found.update(_named(pattern, key))
        except (OSError, ValueError) as error:  # a name too long, a folder that may not be entered, a NUL
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"{key}={pattern}: cannot be looked up ({reason}); give a file or a glob") from error
    files: dict[tuple[int, int], Path] = {}
    for path in sorted(found):
        status = path.stat()
        identity = (status.st_dev, status.st_ino)
        if identity not in files or (_through_link(files[identity]) and not _through_link(path)):
            files[identity] = path
    return sorted(files.values())


def _through_link(path: Path) -> bool:
    return os.path.realpath(path) != os.path.abspath(path)


def _named(pattern: str, key: str) -> list[Path]:
    if pattern == piped.STANDARD_INPUT:
        return [piped.kept(pattern)]
    path = Path(with_home(pattern, key))
    if piped.is_pipe(path):
        return [piped.kept(str(path))]
    if path.is_file():
        return [path]
    if path.is_dir():
        raise DataError(f"{key}={pattern}: is a folder; give a file or a glob such as '{path / _usual_glob(path)}'")
    if path.exists():
        raise DataError(f"{key}={pattern}: is a device, not a file; give a file or a glob such as 'folder/*.txt'")
    if path.is_symlink():
        raise DataError(f"{key}={pattern}: a link to {os.readlink(path)}, which does not exist; give a file")
    files = [match for match in expand(path) if match.is_file()]
    if not files:
        cure = f"several are a list, [{pattern}]" if "," in pattern else "give a file or a glob such as 'folder/*.txt'"
        raise DataError(f"{key}={pattern}: names no file{_nearest(path)}; {cure}")
    return files


def expand(pattern: Path) -> Iterator[Path]:
    """What a glob names. A part that exists as it stands is no pattern; ``**`` enters each folder once, links too."""
    *folders, last = pattern.parts[bool(pattern.anchor) :] or ("",)
    bases = [Path(pattern.anchor)]
    for part in folders:
        if part == "**":
            seen: set[tuple[int, int]] = set()
            bases = [below for base in bases for below in _folders_below(base, seen)]
        else:
            bases = [match for base in bases for match in _matches(base, part) if match.is_dir()]
    if last == "**":
        seen = set()
        bases, last = [below for base in bases for below in _folders_below(base, seen)], "*"
    for base in bases:
        yield from _matches(base, last)


def _matches(folder: Path, part: str) -> Iterator[Path]:
    """Names are compared in one normal form: a Mac writes the accents of a name apart from their letters."""
    if os.path.lexists(folder / part):
        yield folder / part
    elif not part.isascii() or MAGIC.search(part):
        wanted = unicodedata.normalize("NFC", part)
        for name in _names(folder):
            shown = unicodedata.normalize("NFC", name)
            if fnmatch.fnmatchcase(shown, wanted) and (not name.startswith(".") or part.startswith(".")):
                yield folder / name


def _folders_below(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    """A folder and those in it, but hidden ones and those that were entered before; links come last."""
    try:
        status = folder.stat()
    except OSError:
        return
    identity = (status.st_dev, status.st_ino)
    if identity in seen or not folder.is_dir():
        return
    seen.add(identity)
    yield folder
    inner = [folder / name for name in _names(folder) if not name.startswith(".")]
    for path in sorted((path for path in inner if path.is_dir()), key=lambda path: (path.is_symlink(), path)):
        yield from _folders_below(path, seen)


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except NotADirectoryError:
        return []
    except PermissionError as error:
        raise DataError(f"{folder}: the folder cannot be read ({error.strerror}); check its permissions") from error
    except OSError:
        return []


def _usual_glob(folder: Path) -> str:
    """A glob for the most frequent kind of file in a folder."""
    endings = Counter(Path(name).suffix for name in _files_in(folder) if not name.startswith("."))
    return f"*{endings.most_common(1)[0][0] if endings else '.txt'}"


def _files_in(folder: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if (folder / name).is_file())
    except OSError:
        return []


def _nearest(path: Path) -> str:
    """', did you mean X?', if a file with a similar name is there."""
    names = _files_in(path.parent)
    in_capitals = [name for name in names if fnmatch.fnmatchcase(name.lower(), path.name.lower())]
    if in_capitals and MAGIC.search(path.name):
        return f", but small and capital letters differ: {path.parent / in_capitals[0]} is there"
    lowered = {name.lower(): name for name in names}
    close = difflib.get_close_matches(path.name.lower(), lowered, n=1, cutoff=0.75)
    return f", did you mean {path.parent / lowered[close[0]]}?" if close else ""
