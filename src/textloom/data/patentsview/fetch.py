"""Fetching a selection of patents: download the current tables, select from them, record the provenance."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from textloom.config.patents import PatentSelection
from textloom.data.patentsview.answers import PortalError
from textloom.data.patentsview.download import ATTRIBUTION, LICENCE, Downloaded, download, provenance_file, recorded
from textloom.data.patentsview.portal import Portal
from textloom.data.patentsview.selected_file import patentsview_directory, selected_file, settings
from textloom.data.patentsview.selection import pattern, select, tables_of
from textloom.errors import DataError
from textloom.system.files import file_checksum, write_text

log = logging.getLogger(__name__)

PRODUCT = "PVGPATDIS"  # granted patents, disambiguated; 35 tables, quarterly
LAYOUT = 1  # raised when the same settings select or write something else


@dataclass(frozen=True)
class FetchedPatents:
    """A selection of patents in a Parquet file."""

    path: Path
    rows: int
    tables: tuple[Downloaded, ...]

    def __str__(self) -> str:
        releases = ", ".join(f"{table.file} of {table.release_date}" for table in self.tables)
        return (
            f"patents: {self.rows:,} in {self.path}\nsource: {PRODUCT}: {releases}\nlicence: {LICENCE}\n"
            f"attribution: {ATTRIBUTION}"
        )


def fetch(selection: PatentSelection) -> FetchedPatents:
    """Select from the current release of the tables, unless that was done before. Raises DataError if it fails.

    If the portal cannot be used, local tables of an earlier release are used, if there are any.
    """
    pattern(selection)  # a mistake in it is reported before gigabytes are fetched
    folder = patentsview_directory()
    with _claimed(folder):
        tables = _tables(tables_of(selection), folder / PRODUCT)
        return _selected(selection, folder / PRODUCT, tables)


@contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """Lock the folder: the portal asks for sequential requests, and a file is fetched once."""
    lock = FileLock(folder / ".lock")
    try:
        for name in (PRODUCT, "selections"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("another process is fetching patents; waiting for it")
            lock.acquire()
    except OSError as error:
        raise _unwritable(folder, error) from error
    with lock:
        yield


def _unwritable(folder: Path, error: OSError) -> DataError:
    reason = error.strerror or error
    return DataError(f"{folder}: cannot be written ({reason}); make room, or set TEXTLOOM_CACHE=DIR")


def _tables(names: list[str], folder: Path) -> tuple[Downloaded, ...]:
    """The current release of the tables, or, with a warning, the local one."""
    try:
        portal = Portal.from_environment()
        files = portal.files(PRODUCT)
        missing = [name for name in names if name not in files]
        if missing:
            raise PortalError(f"{PRODUCT}: the portal lists no {', '.join(missing)}; is textloom up to date?")
        return tuple(download(portal, files[name], folder / name) for name in names)
    except PortalError as error:
        here = [known for known in (recorded(folder / name) for name in names) if known is not None]
        if len(here) < len(names):
            raise
        log.warning("%s\nusing the local copy, released %s", error, here[0].release_date)
        return tuple(here)


def _selected(selection: PatentSelection, folder: Path, tables: tuple[Downloaded, ...]) -> FetchedPatents:
    path = selected_file(selection)
    made_from = {
        "layout": LAYOUT,
        "selection": settings(selection),
        "tables": [asdict(table) for table in tables],
        "licence": LICENCE,
        "attribution": ATTRIBUTION,
    }
    known = _known(path)
    if known is not None and {name: known.get(name) for name in made_from} == made_from:
        log.info("%s: here already", path.name)
        return FetchedPatents(path, int(known["rows"]), tables)
    log.info("selecting from %.1f GB of zipped tables", sum(table.size for table in tables) / 1e9)
    try:
        rows = select(selection, folder, path)
    except OSError as error:
        raise _unwritable(path.parent, error) from error
    content = {**made_from, "rows": rows, "sha256": file_checksum(path)}
    write_text(provenance_file(path), json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    return FetchedPatents(path, rows, tables)


def _known(path: Path) -> dict[str, Any] | None:
    """The provenance of a selection, if its checksum is right; else None."""
    try:
        known = json.loads(provenance_file(path).read_text(encoding="utf-8"))
        return dict(known) if file_checksum(path) == known["sha256"] else None
    except (OSError, ValueError, TypeError, KeyError):
        return None
