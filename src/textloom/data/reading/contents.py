"""The bytes of files: plain, compressed, members of zip archives, and standard input."""

import bz2
import gzip
import lzma
import shlex
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from textloom.data.documents import BLOCK
from textloom.data.reading.files import PIPED, label
from textloom.errors import DataError

COMPRESSIONS = {".gz": "gzip -dc", ".bz2": "bzip2 -dc", ".xz": "xz -dc", ".zst": "zstd -dc", ".zip": "unzip -p"}
"""Endings of names, and the command that decompresses such a file to standard output."""
UNPACKED_BY = {
    ".tar": "tar -xf", ".tgz": "tar -xf", ".tbz2": "tar -xf", ".txz": "tar -xf", ".7z": "7z x", ".rar": "unrar x",
}  # fmt: skip
LEFT_BY_SYSTEMS = ("thumbs.db", "desktop.ini")  # and names that begin with a dot, and Apple's folder of resource forks
RESOURCE_FORKS = "__MACOSX"


@dataclass(frozen=True)
class Content:
    """A file, or a member of a zip archive."""

    path: Path
    member: str | None = None

    @property
    def label(self) -> str:
        """The name in messages."""
        name = label(self.path)
        return name if self.member is None else f"{name}, member {self.member}"

    @property
    def suffix(self) -> str:
        """The ending of the name in lower case, without that of a compression."""
        name = PurePosixPath((self.member or self.path.name).lower())
        if name.suffix in COMPRESSIONS:
            name = name.with_suffix("")
        if not name.suffix and self.member is not None:
            return self._suffix_of_archive()
        return name.suffix

    def _suffix_of_archive(self) -> str:
        return Path(self.path.stem.lower()).suffix

    def blocks(self) -> Iterator[bytes]:
        """The decompressed bytes, some megabytes at a time. Raises DataError if they cannot be read."""
        compression = self.path.suffix.lower()
        try:
            with self._open(compression) as file:
                while block := file.read(BLOCK):
                    yield block
        except DataError:
            raise
        except (gzip.BadGzipFile, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError) as error:
            raise DataError(self._damaged(compression, str(error) or "it ends too early")) from error
        except (NotImplementedError, RuntimeError) as error:  # raised by zipfile
            raise DataError(
                f"{self.label}: cannot be unpacked ({error}); unpack it, and give the file in it"
            ) from error
        except OSError as error:
            if error.errno is None and compression in COMPRESSIONS:  # raised by bz2 and pyarrow
                raise DataError(self._damaged(compression, str(error))) from error
            raise DataError(f"{self.label}: cannot be read ({error.strerror or error}); check the file") from error

    def command(self, pipe_into: str) -> str:
        """A shell command that pipes the decompressed bytes into another, whose output it writes to a new file."""
        name = PurePosixPath(self.member or self.path.name)
        while name.suffix.lower() in COMPRESSIONS:
            name = name.with_suffix("")
        target = shlex.quote(f"{name.stem}.utf8{name.suffix or '.txt'}")
        if self.path in PIPED:
            return f"put {pipe_into} before it in the pipe"
        source, unpack = shlex.quote(str(self.path)), COMPRESSIONS.get(self.path.suffix.lower())
        if unpack is None:
            return f"{pipe_into} < {source} > {target}"
        member = "" if self.member is None else f" {shlex.quote(self.member)}"
        return f"{unpack} {source}{member} | {pipe_into} > {target}"

    def _open(self, compression: str) -> Any:
        if compression == ".gz":
            return gzip.open(self.path)
        if compression == ".bz2":
            return bz2.open(self.path)
        if compression == ".xz":
            return lzma.open(self.path)
        if compression == ".zst":
            # only .zst needs this large import; the reader of zstandard does not notice a truncated file
            import pyarrow

            return pyarrow.CompressedInputStream(pyarrow.OSFile(str(self.path)), "zstd")
        if compression == ".zip":
            assert self.member is not None
            with zipfile.ZipFile(self.path) as archive:
                if archive.getinfo(self.member).flag_bits & 1:
                    raise DataError(f"{self.label}: needs a password; unpack it, and give the file in it")
                return archive.open(self.member)
        return self.path.open("rb")

    def _damaged(self, compression: str, reason: str) -> str:
        what = compression[1:]
        return (
            f"{self.label}: cannot be read as {what} ({reason}): damaged, truncated, or not a {what} file; get it "
            f"again, or take {compression} off its name if it is not compressed"
        )


def contents_of(path: Path, suffixes: frozenset[str], left_out: list[str]) -> list[Content]:
    """The file itself, or the members of a zip archive whose names end in one of the suffixes.

    All members if no name ends so. The names of other members are added to ``left_out``. Raises DataError
    for other archives, and for one that holds nothing.
    """
    name = path.name.lower()
    for ending, command in UNPACKED_BY.items():
        if ending in name and name.partition(ending)[2] in ("", *COMPRESSIONS):
            raise DataError(
                f"{path}: {ending[1:]} archives are not read; unpack it ({command} {shlex.quote(str(path))}), and give "
                "its files, for example as data.path='FOLDER/*.txt'"
            )
    if path.suffix.lower() != ".zip":
        return [Content(path)]
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member.filename for member in archive.infolist() if _is_data(member)]
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
        raise DataError(f"{path}: cannot be read as zip ({error}): damaged, truncated, or not a zip file") from error
    if not members:
        raise DataError(f"{path}: the archive holds no file; give one that holds text")
    wanted = [member for member in members if Content(path, member).suffix in suffixes] or members
    left_out += [Content(path, member).label for member in members if member not in wanted]
    return [Content(path, member) for member in wanted]


def _is_data(member: zipfile.ZipInfo) -> bool:
    parts = PurePosixPath(member.filename).parts
    return not (
        member.is_dir() or RESOURCE_FORKS in parts or parts[-1].startswith(".") or parts[-1].lower() in LEFT_BY_SYSTEMS
    )
