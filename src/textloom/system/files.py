"""Files that are written completely or not at all, with checksums that detect damage."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from textloom.errors import RunError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

TEXT_CHECKSUM = "# sha256 of what follows: "
CHECKSUM = "sha256"  # the key under which a JSON file holds the checksum of its other keys


@contextmanager
def written_whole(path: Path, before_replacing: Callable[[], None] | None = None) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces ``path`` once its content is on disk; after an error the old file stays.

    ``before_replacing`` is called when the new content is on disk. Raises RunError if it is full or read-only.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if before_replacing is not None:
            before_replacing()
        temporary.replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        raise RunError(
            f"{path}: cannot be written ({error.strerror or error}); make room or give another directory"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def is_utf8(path: str) -> bool:
    """False for a name in another encoding, whose bytes Python represents as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in path)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all."""
    with written_whole(path) as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_checked_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all, with a checksum of its content in a comment on the first line."""
    write_text(path, f"{TEXT_CHECKSUM}{hashlib.sha256(text.encode('utf-8')).hexdigest()}\n{text}")


def read_checked_text(path: Path) -> str:
    """The text that ``write_checked_text`` wrote. Raises RunError if the file is missing or damaged."""
    try:
        first, _, text = path.read_bytes().decode("utf-8").partition("\n")
        if first == f"{TEXT_CHECKSUM}{hashlib.sha256(text.encode('utf-8')).hexdigest()}":
            return text
    except FileNotFoundError as error:
        raise RunError(f"{path}: there is no such file; give a complete run directory") from error
    except (OSError, UnicodeDecodeError):
        pass
    raise RunError(f"{path}: damaged: its content does not match its checksum; restore it, or train the run again")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object, whole or not at all, with a checksum of its content."""
    text = json.dumps({**content, CHECKSUM: _checksum(path, content)}, indent=2, ensure_ascii=False) + "\n"
    write_bytes(path, text.encode("utf-8", "backslashreplace"))  # names of files that are not UTF-8, as JSON escapes


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object that ``write_json`` wrote. Raises RunError if the file is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop(CHECKSUM) == _checksum(path, content):
            return dict(content)
    except FileNotFoundError as error:
        raise RunError(f"{path}: there is no such file; give a complete run directory") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise RunError(f"{path}: damaged: its content does not match its checksum; restore it, or train the run again")


def file_checksum(path: Path) -> str:
    """The SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checksum(path: Path, content: dict[str, Any]) -> str:
    """The SHA-256 of a name and a content: a copy of another file in the place of this one is detected too."""
    return hashlib.sha256(json.dumps([path.name, content], sort_keys=True).encode()).hexdigest()


def _sync_directory(directory: Path) -> None:
    """Write a directory to disk, which makes the new name of a renamed file permanent."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """True if a process holds a lock on this file. Writes nothing. False if the system has no such locks."""
    if fcntl is None:
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # the lock of another user, which cannot be opened
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
