"""CSV, TSV, JSON lines and Parquet, read through Hugging Face ``datasets`` in slices."""

import csv
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textloom.errors import DataError

if TYPE_CHECKING:
    import pyarrow

ROWS = 10_000  # of a table in memory at once

# how each format is read: the builder's name and its arguments; "NA" is a word, not a missing value
FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    ".csv": ("csv", {"keep_default_na": False}),
    ".tsv": ("csv", {"keep_default_na": False, "sep": "\t"}),
    ".jsonl": ("json", {}),
    ".ndjson": ("json", {}),
    ".json": ("json", {}),
    ".parquet": ("parquet", {}),
}


def column_names(path: Path) -> list[str]:
    """The columns of a table. Raises DataError where it is no table, or an empty one."""
    table = next(_tables(path), None)
    if table is None:
        raise DataError(f"{path}: the table has no rows; give one that holds text")
    return [str(name) for name in table.column_names]


def read_column(path: Path, column: str) -> Iterator[str]:
    """One column's texts, an empty one where a row holds nothing."""
    for table in _tables(path):
        texts = table.column(column).to_pylist()
        if not all(text is None or isinstance(text, str) for text in texts):
            kind = next(type(text).__name__ for text in texts if text is not None and not isinstance(text, str))
            raise DataError(f"{path}: the column {column} holds {kind}, not text; name one that holds text")
        yield from (text or "" for text in texts)


def _tables(path: Path) -> Iterator["pyarrow.Table"]:
    """A table in slices of some thousand rows, as Arrow holds it: row by row takes 25 times as long."""
    if path.suffix not in FORMATS:
        raise DataError(f"{path}: not a known kind of table; its name must end in {', '.join(FORMATS)}")
    if not path.stat().st_size:
        raise DataError(f"{path}: the file is empty; give one that holds text")
    _refuse_binary(path)

    import datasets  # 1.4 s

    datasets.logging.set_verbosity(logging.CRITICAL)  # its errors come back as exceptions, and are told once

    builder, arguments = FORMATS[path.suffix]
    try:
        if builder == "csv":
            text = datasets.Value("string")
            arguments = {**arguments, "features": datasets.Features(dict.fromkeys(_header(path, arguments), text))}
        rows = datasets.load_dataset(
            builder, data_files=str(path.resolve()), split="train", streaming=True, **arguments
        )
        yield from rows.with_format("arrow").iter(batch_size=ROWS)
    except DataError:
        raise
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 ({error.reason}); convert it, for example with iconv") from error
    except Exception as error:  # each format's parser has its own errors, and datasets wraps some of them
        reason = str(error.__cause__ or error).strip().partition("\n")[0]
        raise DataError(f"{path}: cannot be read as {path.suffix[1:]} ({reason}); check the file") from error


def _header(path: Path, arguments: dict[str, Any]) -> list[str]:
    """The column names: with them every column is asked for as text, so that "007" does not become 7."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return next((row for row in csv.reader(file, delimiter=arguments.get("sep", ",")) if row), [])


def _refuse_binary(path: Path) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(1 << 16)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    if path.suffix != ".parquet" and b"\0" in head:
        raise DataError(f"{path}: a binary file, not text; give a table in UTF-8")
