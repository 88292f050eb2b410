"""Where documents come from. Each source yields one string a document, in a fixed order."""

import glob
import importlib.resources
import re
from collections.abc import Iterator
from pathlib import Path

from textloom.config import DataConfig, Patents, Table, TextFiles
from textloom.data.tables import column_names, read_column
from textloom.errors import DataError

PATENT_ABSTRACT_COLUMN = "patent_abstract"  # both in the article's CSV and in PatentsView's g_patent_abstract.tsv


def read_documents(config: DataConfig) -> Iterator[str]:
    """The documents of a data group. Raises DataError where a file cannot be read as the group says."""
    if isinstance(config, TextFiles):
        return _text_documents(config)
    if isinstance(config, Table):
        return _table_documents(config.path, config.text_column)
    if isinstance(config, Patents):
        return _table_documents(_patent_files(config), PATENT_ABSTRACT_COLUMN)
    return iter([toy_text()])


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


def _text_documents(config: TextFiles) -> Iterator[str]:
    for path in find_files(config.path):
        text = _read_text(path)
        if config.documents == "file":
            yield text
        else:
            yield from (block for block in re.split(r"\n[ \t]*\n\s*", text.strip()) if block)


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    if not content.strip():
        raise DataError(f"{path}: the file is empty; give one that holds text")
    if b"\0" in content:
        raise DataError(f"{path}: a binary file, not text; give a UTF-8 text file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not UTF-8 at byte {error.start}; convert it, for example with iconv -f LATIN1 -t UTF-8"
        ) from error
    return text.replace("\r\n", "\n")


def _table_documents(patterns: tuple[str, ...], column: str) -> Iterator[str]:
    for path in find_files(patterns):
        columns = column_names(path)
        if column not in columns:
            cure = "" if column == PATENT_ABSTRACT_COLUMN else "; set data.text_column"
            raise DataError(f"{path}: there is no column {column}; its columns are {', '.join(columns)}{cure}")
        filled = False
        for text in read_column(path, column):
            if text.strip():
                filled = True
                yield text
        if not filled:
            raise DataError(f"{path}: the column {column} is empty; give one that holds text")
