"""Data sets of the Hugging Face Hub, or of a local folder in its layout, through ``datasets``."""

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from textloom.config.data import SOURCES
from textloom.config.section import PathText
from textloom.config.source_keys import RowKeys
from textloom.data.documents import SPLITS, Piece, SplitName
from textloom.data.sources.base import Source
from textloom.errors import DataError
from textloom.system.files import file_checksum

if TYPE_CHECKING:
    from textloom.data.normalization import Normalizer
    from textloom.data.notes import Notes
    from textloom.data.reading.slices import Slice

log = logging.getLogger(__name__)


class HubConfig(RowKeys):
    """A data set of the Hugging Face Hub, or a local folder in its layout."""

    kind: Literal["hub"]
    path: PathText
    """Its id, such as ccdv/patent-classification, or a folder."""
    name: str | None = None
    """The configuration of the data set; null if there is only one."""
    split: str = "train"
    """Its split for training, or the one to be split."""
    validation_split: str | None = None
    """Its split for validation, used as it is; null for a share of split."""
    test_split: str | None = None
    """Its split for the test, used as it is; null for a share of split, or for none if validation_split is given."""
    revision: str | None = None
    """A commit, tag or branch; null for the newest, whose commit is written into provenance.json."""
    streaming: bool = False
    """Read from the network while encoding, for data that does not fit on the disk; else the Hub's cache keeps it."""

    @property
    def given(self) -> tuple[bool, bool]:
        """Whether there is a validation split, and whether there is a test split."""
        return self.validation_split is not None, self.test_split is not None


@SOURCES.register(HubConfig)
class Hub(Source[HubConfig]):
    """A document for each row of the data set."""

    def read(self, normalizer: "Normalizer", notes: "Notes") -> Mapping[SplitName, Iterable[Piece]]:
        """The documents of each split that is named."""
        from textloom.data.reading.rows import RowMapping, SplitColumn

        rows, self.split_column = RowMapping.of(self.config), SplitColumn.of(self.config)
        config, documents = self.config, dict[SplitName, Iterable[Piece]]()
        names = (config.split, config.validation_split, config.test_split)
        for name, split in zip(SPLITS, names, strict=True):
            if split is not None:
                label = f"data.path={config.path}, split {split}"
                documents[name] = rows.documents(_rows(config, split), label, notes, self.split_column)
        return documents

    def identity(self) -> list[str]:
        """The id and the revision."""
        return [self.config.path, revision(self.config)]

    def provenance(self) -> dict[str, Any]:
        """The revision."""
        return {"data_revision": revision(self.config)}


def revision(config: HubConfig) -> str:
    """The commit of the data set, or a hash of the files of a local folder."""
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


def _rows(config: HubConfig, split: str) -> "Iterator[Slice]":
    from textloom.data.reading.slices import ROWS, ArrowSlice

    with _explained(config.path, config.name, config.revision):
        rows: Any = _datasets().load_dataset(
            config.path, config.name, split=split, revision=config.revision, streaming=config.streaming
        )
        first = 0
        for table in rows.with_format("arrow").iter(batch_size=ROWS):
            yield ArrowSlice(table, table.column_names, first, config.path)
            first += table.num_rows


def _datasets() -> Any:
    """The library, with its log and that of huggingface_hub switched off: their errors are raised."""
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
