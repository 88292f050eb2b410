"""Downloading a file of the portal, once for each release: resumed if interrupted, verified, with its provenance.

The portal answers a request for a file with the file, with a redirect to a signed address, or with a message that holds
one, valid for about 30 seconds. Each such request counts towards a yearly limit, bytes from the signed address do not.
While the address is valid, an interrupted download is resumed from it; only then is the portal asked again.
"""

import errno
import json
import logging
import re
import shutil
import zipfile
import zlib
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx2
from tqdm import tqdm

from textloom.data.patentsview.answers import PortalError, Transient, other_form, web_page
from textloom.data.patentsview.portal import Portal, PortalFile
from textloom.system.files import file_checksum, write_text

log = logging.getLogger(__name__)

LICENCE = "CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/)"
ATTRIBUTION = "Patent abstracts: PatentsView (www.patentsview.org, now USPTO Open Data Portal), CC BY 4.0."
MOST_REQUESTS = 5  # for one file in one call, since each counts towards the 20 of a year


@dataclass(frozen=True)
class Downloaded:
    """A complete file and its provenance, as in the ``.json`` file beside it."""

    product: str
    file: str
    release_date: str
    data_to: str
    size: int
    sha256: str
    downloaded: str
    source: str
    licence: str = LICENCE
    attribution: str = ATTRIBUTION


def provenance_file(path: Path) -> Path:
    """The ``.json`` file beside a file."""
    return path.with_name(f"{path.name}.json")


def recorded(path: Path) -> Downloaded | None:
    """The provenance of a file, if its checksum is right; else None."""
    try:
        known = Downloaded(**json.loads(provenance_file(path).read_text(encoding="utf-8")))
        if path.stat().st_size == known.size and file_checksum(path) == known.sha256:
            return known
    except (OSError, ValueError, TypeError):
        return None
    log.warning("%s: not the file that was downloaded: its checksum differs", path)
    return None


def download(portal: Portal, file: PortalFile, path: Path) -> Downloaded:
    """Download the current release of a file, unless it is here. Raises PortalError if that fails."""
    known = recorded(path)
    if known is not None and (known.release_date, known.size) == (file.release_date, file.size):
        log.info("%s: here already, release of %s", file.name, file.release_date)
        return known
    if known is None and path.exists() and path.stat().st_size == file.size and _damage(path) is None:
        log.info("%s: complete file found, assumed to be the release of %s", file.name, file.release_date)
        return _record(portal, file, path)
    part = path.with_name(f"{path.name}.{re.sub(r'[^0-9]', '', file.release_date)}.part")
    for other in path.parent.glob(f"{path.name}.*.part"):
        if other != part:
            other.unlink()  # of another release
    _fetch(portal, file, part)
    log.info("%s: checking the archive", file.name)
    damage = _damage(part)
    if damage is not None:
        part.unlink()
        raise PortalError(f"{file.name}: damaged though of the right size ({damage}); removed: fetch it once more")
    part.replace(path)
    return _record(portal, file, path)


def _record(portal: Portal, file: PortalFile, path: Path) -> Downloaded:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    sha256 = file_checksum(path)
    done = Downloaded(
        file.product, file.name, file.release_date, file.data_to, file.size, sha256, now, source=portal.base_url
    )
    write_text(provenance_file(path), json.dumps(asdict(done), indent=2) + "\n")
    return done


def _damage(path: Path) -> str | None:
    """The damage of an archive, by the checksums in it; None if there is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
            return bad and f"the checksum of {bad} differs"
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        return str(error)


# --- bytes ----------------------------------------------------------------------------------------------------------


@dataclass
class _Transfer:
    """The download of one file."""

    portal: Portal
    file: PortalFile
    part: Path
    bar: "tqdm[None]"
    address: str | None = None
    """The signed address that the portal gave."""
    requests: int = 0
    refusal: str = "the connection was cut"
    """The reason to ask the portal again."""

    def done(self) -> int:
        """Bytes downloaded so far."""
        return self.part.stat().st_size if self.part.exists() else 0


def _fetch(portal: Portal, file: PortalFile, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    free = shutil.disk_usage(part.parent).free
    if free < file.size - have:
        raise PortalError(
            f"{part.parent}: {(file.size - have) / 1e6:,.0f} MB are needed for {file.name}, {free / 1e6:,.0f} MB are "
            "free; make room, or give another place with TEXTLOOM_CACHE=DIR"
        )
    log.info("%s: %.0f MB, release of %s%s", file.name, file.size / 1e6, file.release_date, " (resumed)" * bool(have))
    with tqdm(total=file.size, initial=have, unit="B", unit_scale=True, desc=file.name, disable=None) as bar:
        transfer = _Transfer(portal, file, part, bar)
        while transfer.done() < file.size:
            portal.with_retries(lambda: _continue(transfer), transfer.done)
    if transfer.done() > file.size:
        part.unlink()
        raise PortalError(f"{file.name}: longer than the {file.size:,} bytes announced; removed: fetch it once more")


def _continue(transfer: _Transfer) -> None:
    """Download from the signed address; ask the portal for one if there is none."""
    file, have = transfer.file, transfer.done()
    asking = transfer.address is None
    if asking and transfer.requests == MOST_REQUESTS:
        raise PortalError(
            f"{file.name}: asked for {MOST_REQUESTS} times, {transfer.refusal}; {have:,} of {file.size:,} bytes are "
            "kept: run the same command later to continue"
        )
    headers = {"Range": f"bytes={have}-"} if have else {}
    try:
        with transfer.portal.open(transfer.address or file.url, file.name, headers) as answer:
            transfer.requests += asking
            kind = answer.headers.get("Content-Type", "")
            if "html" in kind:
                raise PortalError(web_page(str(answer.url), file.name))
            if asking and ("json" in kind or kind.startswith("text/plain")):
                transfer.address = _address_in(answer, transfer)
            else:
                transfer.address = None if str(answer.url) == file.url else str(answer.url)
                _append(transfer, answer, have)
    except Transient:
        raise
    except PortalError as error:
        if asking:
            raise
        transfer.address, transfer.refusal = None, str(error)
        log.info("%s: the signed address has expired; asking for a new one", file.name)


def _address_in(answer: httpx2.Response, transfer: _Transfer) -> str:
    """The signed address in a message, which the portal sends in place of a large file."""
    answer.read()
    found = re.search(r"https?://[^\s\"'<>\\]+", answer.text)
    if found is None:
        raise PortalError(other_form(transfer.portal.base_url, transfer.file.name))
    return found[0].rstrip(".,;")


def _append(transfer: _Transfer, answer: httpx2.Response, have: int) -> None:
    """Append the body of an answer to the file; replace the file if the server does not give ranges."""
    file = transfer.file
    whole = answer.status_code != 206
    span = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
    length = answer.headers.get("Content-Length")
    total = int(span[2]) if span and not whole else int(length) if whole and length else file.size
    if total != file.size or (not whole and (span is None or int(span[1]) != have)):
        raise PortalError(
            f"{file.name}: {file.size:,} bytes were announced and {total:,} are offered: a new release may be on its "
            "way; try again later"
        )
    if whole and have:
        transfer.bar.reset()
    try:
        with transfer.part.open("wb" if whole else "ab") as target:
            for chunk in answer.iter_raw():  # written as received, so that an interruption loses nothing
                target.write(chunk)
                transfer.bar.update(len(chunk))
    except OSError as error:
        full = error.errno == errno.ENOSPC
        raise PortalError(
            f"{transfer.part}: cannot be written ({error.strerror}); "
            + ("make room" if full else "check its permissions")
            + ", or set TEXTLOOM_CACHE=DIR; what was received is kept; run the same command to continue"
        ) from error
    if transfer.done() < file.size:
        raise Transient(f"{file.name}: the connection broke off after {transfer.done():,} of {file.size:,} bytes")
