"""A client of USPTO's Open Data Portal: one request at a time; the key is sent to no other host.

Its API is described at https://data.uspto.gov/swagger. pyUSPTO 0.5.7 is not used: its session sends the key on to every
host that the portal redirects to, tries a 429 three times more where each file has a yearly limit, and cannot resume.
"""

import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2

from textloom.data.patentsview.answers import (
    BAD_KEY,
    NO_KEY,
    PORTAL,
    PortalError,
    Transient,
    other_form,
    refuse,
    unreachable,
    web_page,
)

log = logging.getLogger(__name__)

Result = TypeVar("Result")

KEY_VARIABLE = "USPTO_API_KEY"
PORTAL_VARIABLE = "USPTO_BULK_DATA_BASE_URL"  # as pyUSPTO calls it
KEY_HEADER = "X-API-KEY"
DELAYS = (2.0, 4.0, 8.0)  # seconds before each retry; they start over when bytes have come
TIMEOUT = httpx2.Timeout(60, connect=10)
MOST_REDIRECTS = 5


@dataclass(frozen=True)
class PortalFile:
    """A file of a product, as the portal describes it."""

    product: str
    name: str
    url: str
    size: int
    """Bytes."""
    release_date: str
    """Date of the last change."""
    data_to: str
    """Last day of its content; empty if the portal does not say."""


@dataclass
class Portal:
    """A client for one thread: requests are sequential, as the portal asks (a burst of one per key)."""

    key: str = field(repr=False)
    base_url: str = PORTAL
    pause: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[!-~]+", self.key):
            raise PortalError(BAD_KEY)  # before a library can complain about it and quote it
        for name in ("httpx2", "httpcore2"):
            logging.getLogger(name).setLevel(logging.WARNING)  # they would log signed addresses
        self.base_url = self.base_url.rstrip("/")
        self._client = httpx2.Client(timeout=TIMEOUT, headers={"User-Agent": "textloom", "Accept-Encoding": "identity"})

    @classmethod
    def from_environment(cls) -> "Portal":
        """The portal with the key of ``USPTO_API_KEY``. Raises PortalError if there is none."""
        key = os.environ.get(KEY_VARIABLE, "").strip()
        if not key:
            raise PortalError(NO_KEY)
        return cls(key, os.environ.get(PORTAL_VARIABLE) or PORTAL)

    def files(self, product: str) -> dict[str, PortalFile]:
        """The current files of a product, by name; asking does not count as a download."""
        url = f"{self.base_url}/api/v1/datasets/products/{product}?includeFiles=true"
        content = self.with_retries(lambda: self._json(url, f"product {product}"))
        try:
            (bag,) = [bag for bag in content["bulkDataProductBag"] if bag["productIdentifier"] == product]
            found = [self._file(product, entry) for entry in bag["productFileBag"]["fileDataBag"]]
        except (KeyError, TypeError, ValueError):
            found = []
        if not found:
            raise PortalError(other_form(self.base_url, f"product {product}"))
        return {file.name: file for file in sorted(found, key=lambda file: file.release_date)}  # the newest of a name

    def _file(self, product: str, entry: dict[str, Any]) -> PortalFile:
        # the address is taken as a path of this portal, so that the key goes nowhere else
        url = self.base_url + urlsplit(entry["fileDownloadURI"]).path
        size, release, data_to = int(entry["fileSize"]), str(entry["fileReleaseDate"]), entry.get("fileDataToDate")
        return PortalFile(product, str(entry["fileName"]), url, size, release, str(data_to or ""))

    def _json(self, url: str, what: str) -> Any:
        with self.open(url, what) as answer:
            answer.read()
            if "json" not in answer.headers.get("Content-Type", ""):
                raise PortalError(web_page(self.base_url, what))
            try:
                return answer.json()
            except ValueError:
                pass
        raise PortalError(other_form(self.base_url, what))

    @contextmanager
    def open(self, url: str, what: str, headers: dict[str, str] | None = None) -> Iterator[httpx2.Response]:
        """A successful answer whose body is still to be read; redirects are followed without the key.

        Raises Transient if another try may help, else PortalError.
        """
        try:
            answer = self._follow(url, headers or {})
            try:
                if not answer.is_success:
                    answer.read()
                    refuse(answer, self.base_url, what)
                yield answer
            finally:
                answer.close()
        except httpx2.InvalidURL:
            raise PortalError(other_form(self.base_url, what)) from None
        except httpx2.HTTPError as error:
            raise Transient(unreachable(url, error)) from None

    def _follow(self, url: str, headers: dict[str, str]) -> httpx2.Response:
        ours = url.startswith(self.base_url + "/")
        request = self._client.build_request(
            "GET", url, headers={**headers, **({KEY_HEADER: self.key} if ours else {})}
        )
        for _ in range(MOST_REDIRECTS):
            try:
                answer = self._client.send(request, stream=True, follow_redirects=False)
            finally:
                request.headers.pop(KEY_HEADER, None)  # exceptions and answers carry their request
            if not answer.has_redirect_location:
                return answer
            answer.close()
            request = self._client.build_request("GET", answer.url.join(answer.headers["Location"]), headers=headers)
        raise httpx2.TooManyRedirects("too many redirects", request=request)

    def with_retries(self, attempt: Callable[[], Result], progress: Callable[[], int] = lambda: 0) -> Result:
        """Call ``attempt`` again after a Transient error. Growth of ``progress`` resets the number of retries."""
        failures, before = 0, progress()
        while True:
            try:
                return attempt()
            except Transient as error:
                failures, before = 1 if progress() > before else failures + 1, progress()
                if failures > len(DELAYS):
                    raise
                wait = max(DELAYS[failures - 1], error.wait)
                log.warning("%s; trying again in %.0f seconds", str(error).partition(";")[0], wait)
                self.pause(wait)
