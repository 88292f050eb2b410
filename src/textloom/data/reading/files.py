"""The files that paths and globs name; text that comes through a pipe is kept in a temporary file.

A pipe can be read once, and every text is read more than once.
"""

import atexit
import difflib
import fnmatch
import os
import re
import shutil
import stat
import sys
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from textloom.config.paths import with_home
from textloom.errors import DataError

STANDARD_INPUT = "-"
WILDCARD = re.compile(r"[*?[]")
PIPED: dict[Path, str] = {}
"""The temporary files with piped text, and their names in messages."""
COMPRESSED_BEGIN = {
    b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\xfd7zXZ": ".xz", b"\x28\xb5\x2f\xfd": ".zst", b"PK\x03\x04": ".zip",
}  # fmt: skip
"""First bytes of compressed files, and the ending of the names of such files."""


def find_files(patterns: tuple[str, ...], key: str = "data.path") -> list[Path]:
    """The files that paths and globs name, sorted by name, each once: a link counts as its target.

    ``-`` is standard input. Raises DataError if a pattern names no file.
    """
    found: set[Path] = set()
    for pattern in patterns:
        try:
            found.update(_named(pattern, key))
        except (OSError, ValueError) as error:  # too long a name, a folder without permission, a NUL
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
    if pattern == STANDARD_INPUT:
        return [kept_pipe(pattern)]
    path = Path(with_home(pattern, key))
    if _is_pipe(path):
        return [kept_pipe(str(path))]
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
    """The matches of a glob. A component that exists literally is not a pattern; ``**`` enters each folder once."""
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
    """Compare names in one normal form, because macOS decomposes accented letters."""
    if os.path.lexists(folder / part):
        yield folder / part
    elif not part.isascii() or WILDCARD.search(part):
        wanted = unicodedata.normalize("NFC", part)
        for name in _names(folder):
            shown = unicodedata.normalize("NFC", name)
            if fnmatch.fnmatchcase(shown, wanted) and (not name.startswith(".") or part.startswith(".")):
                yield folder / name


def _folders_below(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    """A folder and all below it, without hidden ones and those entered before; links come last."""
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
    """A glob for the most frequent ending of names in a folder, or else in those below it."""
    for place in _folders_below(folder, set()):
        endings = Counter(Path(name).suffix for name in _files_in(place) if not name.startswith("."))
        if endings:
            return f"{'' if place == folder else '**/'}*{endings.most_common(1)[0][0]}"
    return "*.txt"


def _files_in(folder: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if (folder / name).is_file())
    except OSError:
        return []


def _nearest(path: Path) -> str:
    """', did you mean X?', if a file with a similar name is there."""
    names = _files_in(path.parent)
    in_capitals = [name for name in names if fnmatch.fnmatchcase(name.lower(), path.name.lower())]
    if in_capitals and WILDCARD.search(path.name):
        return f", but small and capital letters differ: {path.parent / in_capitals[0]} is there"
    lowered = {name.lower(): name for name in names}
    close = difflib.get_close_matches(path.name.lower(), lowered, n=1, cutoff=0.75)
    return f", did you mean {path.parent / lowered[close[0]]}?" if close else ""


# --- pipes ----------------------------------------------------------------------------------------------------------


def label(path: Path) -> str:
    """The name of a file in messages."""
    return PIPED.get(path, str(path))


@cache
def kept_pipe(name: str) -> Path:
    """A temporary file with all that came through a pipe (``-``: standard input), removed when the process ends.

    Raises DataError if standard input is a terminal, if no text comes, or if there is no room for it.
    """
    standard = name == STANDARD_INPUT
    if standard and (sys.stdin is None or sys.stdin.closed or os.isatty(sys.stdin.fileno())):
        raise DataError("data.path=-: nothing is piped into standard input; pipe text: cat FILE | textloom ...")
    words = "standard input" if standard else name
    folder = Path(tempfile.mkdtemp(prefix="textloom-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    file = folder / "text"
    try:
        with file.open("wb") as copy:
            if standard:
                shutil.copyfileobj(sys.stdin.buffer, copy)
            else:
                with Path(name).open("rb") as pipe:
                    shutil.copyfileobj(pipe, copy)
    except OSError as error:
        raise DataError(f"{words}: cannot be kept in {folder} ({error.strerror}); make room, or set TMPDIR") from error
    with file.open("rb") as copy:
        head = copy.read(8)
    if not head:
        raise DataError(f"data.path={name}: no text came through {words}; pipe text: cat FILE | textloom ...")
    named = file.with_suffix(next((end for begin, end in COMPRESSED_BEGIN.items() if head.startswith(begin)), ""))
    file.rename(named)
    PIPED[named] = words
    return named


def _is_pipe(path: Path) -> bool:
    """True for named pipes, those of the shell's ``<(command)`` included."""
    try:
        return stat.S_ISFIFO(path.stat().st_mode)
    except OSError:
        return False
