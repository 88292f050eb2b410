"""CSV, TSV, JSON lines and Parquet, read through Hugging Face ``datasets`` in slices."""

import csv
import io
import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textloom.errors import DataError

if TYPE_CHECKING:
    import pyarrow

log = logging.getLogger(__name__)

COMPRESSIONS = (".gz", ".zip", ".zst")
SEPARATORS = (";", "\t", "|", ",")  # tried where a table seems to have one column
ROWS = 10_000  # of a table in memory at once

# how each format is read: the builder's name and its arguments; "NA" is a word, not a missing value
FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    ".csv": ("csv", {"keep_default_na": False, "sep": ","}),
    ".tsv": ("csv", {"keep_default_na": False, "sep": "\t"}),
    ".jsonl": ("json", {}),
    ".ndjson": ("json", {}),
    ".json": ("json", {}),
    ".parquet": ("parquet", {}),
}


def read_tables(path: Path) -> Iterator["pyarrow.Table"]:
    """A table in slices of some thousand rows, as Arrow holds it: row by row takes 25 times as long.

    Raises DataError where it is none.
    """
    kind = path.with_suffix("").suffix if path.suffix in COMPRESSIONS else path.suffix
    if kind not in FORMATS:
        raise DataError(
            f"{path}: not a known kind of table; its name must end in {', '.join(FORMATS)}, "
            f"plain or with {', '.join(COMPRESSIONS)}"
        )
    if not path.stat().st_size:
        raise DataError(f"{path}: the file is empty; give one that holds text")

    import datasets  # 1.4 s

    datasets.logging.set_verbosity(logging.CRITICAL)  # its errors come back as exceptions, and are told once

    builder, arguments = FORMATS[kind]
    try:
        _refuse_binary(path, kind)
        if builder == "csv":
            separator, names = _header(path, arguments["sep"])
            features = datasets.Features(dict.fromkeys(names, datasets.Value("string")))
            arguments = {**arguments, "sep": separator, "features": features}
        with _unpacked(path) if kind == ".parquet" else nullcontext(path) as plain:
            rows = datasets.load_dataset(
                builder, data_files=str(plain.resolve()), split="train", streaming=True, **arguments
            )
            yield from rows.with_format("arrow").iter(batch_size=ROWS)
    except DataError:
        raise
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 ({error.reason}); convert it, for example with iconv") from error
    except Exception as error:  # each format's parser has its own errors, and datasets wraps some of them
        reason = str(error.__cause__ or error).strip().partition("\n")[0]
        raise DataError(f"{path}: cannot be read as {kind[1:]} ({reason}); check the file") from error


def _open(path: Path) -> Any:
    """The file's content, decompressed."""
    import fsspec

    return fsspec.open(str(path), "rb", compression="infer").open()


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """A Parquet file as it is: its content is found from its end, which compressed files do not let one do."""
    if path.suffix == ".parquet":
        yield path
        return
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file, _open(path) as content:
        shutil.copyfileobj(content, file)
        file.flush()
        yield Path(file.name)


def _header(path: Path, separator: str) -> tuple[str, list[str]]:
    """What separates the columns, and their names: with them every column is asked for as text, so that "007" stays.

    A single column that another separator takes apart is told by it: the semicolons of spreadsheets are recognised.
    """
    names: dict[str, list[str]] = {}
    for candidate in (separator, *SEPARATORS):
        with io.TextIOWrapper(_open(path), encoding="utf-8-sig", newline="") as file:
            names[candidate] = next((row for row in csv.reader(file, delimiter=candidate) if row), [])
        if len(names[separator]) > 1:
            return separator, names[separator]
    best = max(names, key=lambda candidate: len(names[candidate]))
    if best != separator:
        log.info("%s: columns separated by %r", path, best)
    return best, names[best]


def _refuse_binary(path: Path, kind: str) -> None:
    try:
        with _open(path) as file:
            head = file.read(1 << 16)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); check the file") from error
    if kind != ".parquet" and b"\0" in head:
        raise DataError(f"{path}: a binary file, not text; give a table in UTF-8")
