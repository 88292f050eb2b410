"""Data sets of the Hugging Face Hub, or of a local folder in its layout, through ``datasets``."""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from textloom.config import Hub
from textloom.data.spool import SPLITS, SplitName
from textloom.data.tables import ROWS, ArrowSlice, Slice
from textloom.errors import DataError
from textloom.system.files import file_checksum

log = logging.getLogger(__name__)


def read_hub(config: Hub) -> list[tuple[SplitName, str, Iterator[Slice]]]:
    """For each part its name, what to call it in messages, and its rows. Raises DataError if it cannot be had."""
    splits = (config.split, config.validation_split, config.test_split)
    return [
        (name, f"data.path={config.path}, split {split}", _rows(config, split))
        for name, split in zip(SPLITS, splits, strict=True)
        if split is not None
    ]


def revision(config: Hub) -> str:
    """What identifies the content: the commit of the data set, or a hash of the files of a local folder."""
    folder = Path(config.path)
    if folder.is_dir():
        digest = hashlib.sha256()
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            digest.update(f"{path.relative_to(folder)} {file_checksum(path)}\n".encode())
        return digest.hexdigest()
    return _commit(config.path, config.name, config.revision)


@cache
def _commit(path: str, name: str | None, revision: str | None) -> str:
    log.info("asking the Hub for %s", path)
    with _explained(path, name, revision):
        builder = _datasets().load_dataset_builder(path, name, revision=revision)  # asks the Hub, or offline its cache
        return str(builder.hash)


def _rows(config: Hub, split: str) -> Iterator[Slice]:
    with _explained(config.path, config.name, config.revision):
        rows: Any = _datasets().load_dataset(
            config.path, config.name, split=split, revision=config.revision, streaming=config.streaming
        )
        first = 0
        for table in rows.with_format("arrow").iter(batch_size=ROWS):
            yield ArrowSlice(table, table.column_names, first)
            first += table.num_rows


def _datasets() -> Any:
    """The library, and the one below it, quiet: their errors come back as exceptions, and are reported once."""
    import datasets

    for name in ("datasets", "huggingface_hub"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return datasets


@contextmanager
def _explained(path: str, name: str | None, revision: str | None) -> Iterator[None]:
    """The errors of ``datasets`` in one line each, with the cure."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # datasets, huggingface_hub and the network each have their own
        reason = " ".join(str(error).split()).rstrip(".")
        label = f"data.path={path}" + (f" data.name={name}" if name else "")
        if "scripts are no longer supported" in reason:
            raise DataError(
                f"{label}: this data set is a loading script, which datasets no longer runs; try "
                "data.revision=refs/convert/parquet, the Hub's own conversion, or fetch its files and use data=table"
            ) from error
        if "Config name is missing" in reason or "BuilderConfig" in reason:
            raise DataError(f"{label}: {reason}; set data.name") from error
        if "Bad split" in reason or "Unknown split" in reason:
            raise DataError(f"{label}: {reason}; set data.split, data.validation_split or data.test_split") from error
        if isinstance(error, ConnectionError | TimeoutError) or "offline" in reason.lower():
            raise DataError(
                f"{label}: neither reachable nor in the cache ({reason[:200]}); check the network and HF_HUB_OFFLINE, "
                "or load it once with a network and data.streaming=false"
            ) from error
        raise DataError(
            f"{label}: cannot be loaded ({reason[:300]}); check data.path, data.name and data.revision"
        ) from error
