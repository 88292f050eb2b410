"""Text that comes through a pipe: kept in a temporary file, because it is read more than once and a pipe is not."""

import atexit
import os
import shutil
import stat
import sys
import tempfile
from functools import cache
from pathlib import Path

from textloom.errors import DataError

STANDARD_INPUT = "-"
LABELS: dict[Path, str] = {}
"""The temporary files, and what messages call them."""
MAGIC = {b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\xfd7zXZ": ".xz", b"\x28\xb5\x2f\xfd": ".zst", b"PK\x03\x04": ".zip"}
"""First bytes of compressed files, and how the names of such files end."""


def label(path: Path) -> str:
    """What messages call a file."""
    return LABELS.get(path, str(path))


def is_pipe(path: Path) -> bool:
    """True for named pipes, those of the shell's ``<(command)`` included."""
    try:
        return stat.S_ISFIFO(path.stat().st_mode)
    except OSError:
        return False


@cache
def kept(name: str) -> Path:
    """A file with all that came through a pipe; ``-`` is standard input. Gone when the process ends.

    Raises DataError for a terminal, for no text, and if there is no room for it.
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
    named = file.with_suffix(next((suffix for magic, suffix in MAGIC.items() if head.startswith(magic)), ""))
    file.rename(named)
    LABELS[named] = words
    return named
