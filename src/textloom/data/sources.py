"""Where documents come from. Each source yields them in pieces, in a fixed order."""

import codecs
import glob
import hashlib
import importlib.resources
import logging
import re
from collections.abc import Iterator
from pathlib import Path

from textloom.config import DataConfig, Patents, Table, TextFiles, ToyData
from textloom.data.spool import BLOCK, Piece
from textloom.data.tables import column_names, read_column
from textloom.errors import DataError
from textloom.files import file_checksum

log = logging.getLogger(__name__)

PATENT_ABSTRACT_COLUMN = "patent_abstract"  # both in the article's CSV and in PatentsView's g_patent_abstract.tsv
BLANK_LINES = re.compile(r"\n[ \t]*\n\s*")


def read_pieces(config: DataConfig) -> Iterator[Piece]:
    """The documents of a data group. Raises DataError where a file cannot be read as the group says."""
    if isinstance(config, TextFiles):
        return _text_documents(config)
    if isinstance(config, Table):
        return _table_documents(config.path, config.text_column)
    if isinstance(config, Patents):
        return _table_documents(_patent_files(config), PATENT_ABSTRACT_COLUMN)
    return iter([(toy_text(), True)])


def source_checksum(config: DataConfig) -> str:
    """A hash of the files that a data group names, and of how they are to be read."""
    if isinstance(config, ToyData):
        contents = [hashlib.sha256(toy_text().encode()).hexdigest()]
    else:
        patterns = _patent_files(config) if isinstance(config, Patents) else config.path
        contents = [path.suffix + _checksum(path) for path in find_files(patterns)]
    settings = config.model_dump_json(exclude={"path"})
    return hashlib.sha256("\n".join([settings, *contents]).encode()).hexdigest()


def _patent_files(config: Patents) -> tuple[str, ...]:
    if config.source == "file":
        assert config.path is not None  # the schema has seen to it
        return config.path
    from textloom.patentsview.prepared import find_prepared

    return (str(find_prepared(config)),)


def toy_text() -> str:
    """The small text about deep learning that comes with textloom."""
    return importlib.resources.files("textloom.data").joinpath("toy.txt").read_text(encoding="utf-8")


def find_files(patterns: tuple[str, ...]) -> list[Path]:
    """The files that paths and globs name, sorted, each once. Raises DataError where a pattern names none."""
    found: set[Path] = set()
    for pattern in patterns:
        path = Path(pattern).expanduser()
        matches = [path] if path.exists() else [Path(name) for name in glob.glob(str(path), recursive=True)]
        files = [match for match in matches if match.is_file()]
        if not files:
            what = "is a folder" if path.is_dir() else "names no file"
            raise DataError(f"data.path={pattern}: {what}; give a file or a glob such as 'folder/*.txt'")
        found.update(files)
    return sorted(found)


def _checksum(path: Path) -> str:
    try:
        return file_checksum(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error


def _text_documents(config: TextFiles) -> Iterator[Piece]:
    paths = find_files(config.path)
    empty = [path for path in paths if _is_empty(path)]
    if len(empty) == len(paths):
        raise DataError(f"{paths[0]}: the file is empty; give one that holds text")
    for path in paths:
        if path in empty:
            log.warning("%s: the file is empty; left out", path)
        elif config.documents == "file":
            yield from ((text, False) for text in _read_text(path))
            yield "", True
        else:
            yield from blank_line_documents(_read_text(path))


def blank_line_documents(texts: Iterator[str]) -> Iterator[Piece]:
    """The blocks between blank lines of a text that comes in pieces, as documents without white space around them."""
    buffer, searched, inside, begun = "", 0, False, False
    for text in texts:
        buffer += text
        if not begun:
            buffer = buffer.lstrip()
            begun = bool(buffer)
        while (found := BLANK_LINES.search(buffer, searched)) and found.end() < len(buffer):
            yield buffer[: found.start()], True
            buffer, searched, inside = buffer[found.end() :], 0, False
        kept = len(buffer.rstrip())  # the white space at the end may be the beginning of a border
        if kept > BLOCK:
            yield buffer[:kept], False
            buffer, kept, inside = buffer[kept:], 0, True
        searched = kept
    if buffer.rstrip() or inside:
        yield buffer.rstrip(), True


def _is_empty(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return not any(block.strip() for block in iter(lambda: file.read(BLOCK), b""))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error


def _read_text(path: Path) -> Iterator[str]:
    """The text of a UTF-8 file in pieces, with the line breaks of Unix."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    position, carriage_return = 0, ""
    try:
        with path.open("rb") as file:
            if file.read(3) != codecs.BOM_UTF8:
                file.seek(0)
            position = file.tell()
            while content := file.read(BLOCK):
                if b"\0" in content:
                    raise DataError(f"{path}: a binary file, not text; give a UTF-8 text file")
                position -= len(decoder.getstate()[0])
                text = carriage_return + decoder.decode(content)
                position = file.tell()
                carriage_return = "\r" if text.endswith("\r") else ""
                yield text.removesuffix("\r").replace("\r\n", "\n")
            position -= len(decoder.getstate()[0])
            yield carriage_return + decoder.decode(b"", final=True)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not UTF-8 at byte {position + error.start}; convert it, for example with iconv -f LATIN1 -t UTF-8"
        ) from error


def _table_documents(patterns: tuple[str, ...], column: str) -> Iterator[Piece]:
    for path in find_files(patterns):
        columns = column_names(path)
        if column not in columns:
            cure = "" if column == PATENT_ABSTRACT_COLUMN else "; set data.text_column"
            raise DataError(f"{path}: there is no column {column}; its columns are {', '.join(columns)}{cure}")
        filled = False
        for text in read_column(path, column):
            if text.strip():
                filled = True
                yield text, True
        if not filled:
            raise DataError(f"{path}: the column {column} is empty; give one that holds text")
