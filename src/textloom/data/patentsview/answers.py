"""Errors for the answers of the portal: what is wrong, and the cure. Their texts never contain the key."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NoReturn
from urllib.parse import urlsplit

import httpx2

from textloom.errors import DataError

PORTAL = "https://api.uspto.gov"
KEYS = "data.uspto.gov/myodp"
LONGEST_WAIT = 60.0  # seconds; a longer wait that the portal asks for is an error
SHORTEST_WAIT = 5.0  # seconds that the portal asks for after "too many requests"
YEARLY_LIMIT = (
    "each key may download the same file 20 times a year (31,536,000 seconds); asking for the release date does not "
    "count, and a file in the cache is not downloaded again"
)

NO_KEY = (
    f"USPTO_API_KEY is not set: the Open Data Portal needs a key, free at {KEYS} (a USPTO.gov account whose identity "
    "ID.me has checked); put it into the environment, nowhere else, or use data.source=file with a file of your own"
)
BAD_KEY = f"USPTO_API_KEY: cannot be a key: it holds spaces or characters beyond ASCII; copy it again from {KEYS}"


class PortalError(DataError):
    """Data that cannot be had from the portal."""


class Transient(PortalError):
    """An error after which another request may succeed."""

    def __init__(self, message: str, wait: float = 0):
        super().__init__(message)
        self.wait = wait
        """Minimum seconds to wait."""


def refuse(answer: httpx2.Response, base_url: str, what: str) -> NoReturn:
    """Raise the error for an answer that is not a success: Transient if another try may help, else PortalError."""
    host, status, code = urlsplit(base_url).netloc, answer.status_code, f"({answer.status_code})"
    if not str(answer.url).startswith(base_url) and status < 500:
        raise PortalError(f"{answer.url.host}: the portal's storage refuses {what} {code}; try again later")
    if status == 401:
        raise PortalError(f"{host}: no valid key reached the portal {code}; check USPTO_API_KEY against {KEYS}")
    if status == 403:
        raise PortalError(
            f"{host}: the portal refuses the key for {what} {code}: it is wrong, or so new that it is still pending "
            f"(some minutes), or was deleted after 90 days without use; compare USPTO_API_KEY with {KEYS}"
        )
    if status == 404:
        raise PortalError(f"{host}: there is no {what} {code}; see data.uspto.gov/bulkdata/datasets for what there is")
    if status == 429:
        _refuse_haste(answer, host, what)
    if status >= 500:
        raise Transient(
            f"{host}: the portal is out of order {code} for {what}; try again later; what was downloaded is kept"
        )
    raise PortalError(f"{host}: the portal does not understand the request for {what} {code}; is textloom up to date?")


def _refuse_haste(answer: httpx2.Response, host: str, what: str) -> NoReturn:
    """Raise the error for too many requests, within a short time or within a year."""
    wait = retry_after(answer.headers.get("Retry-After"))
    yearly = "31536000" in answer.text or (wait or 0) > LONGEST_WAIT
    asked = f", and asks to wait {_duration(wait)}" if wait else ""
    sentence = f"{host}: too many requests for {what} (429){asked}: {YEARLY_LIMIT}"
    if yearly:
        raise PortalError(f"{sentence}; wait, or put a copy of the file into the cache yourself")
    raise Transient(f"{host}: too many requests for {what} (429){asked}", max(wait or 0, SHORTEST_WAIT))


def retry_after(value: str | None) -> float | None:
    """Seconds that a ``Retry-After`` header asks to wait, given in seconds or as a date (RFC 9110, 10.2.3), or None."""
    if value is None:
        return None
    if re.fullmatch(r"\d{1,12}", value.strip()):
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def unreachable(url: str, error: httpx2.HTTPError) -> str:
    """Message for a missing or interrupted answer."""
    host = urlsplit(url).netloc  # the rest of the address may be signed, and is not shown
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.ProxyError):
        return f"{host}: cannot be reached ({reason}); check the network, or the proxy in HTTPS_PROXY"
    return f"{host}: the connection broke off ({reason}); what was received is kept; run the same command to continue"


def web_page(base_url: str, what: str) -> str:
    """Message for HTML with status 200: a sign-in or a maintenance page."""
    return (
        f"{urlsplit(base_url).netloc}: a web page came in place of {what}: the portal wants a sign-in, or is being "
        f"maintained; check USPTO_API_KEY against {KEYS}, or try again later"
    )


def other_form(base_url: str, what: str) -> str:
    """Message for JSON of an unknown form."""
    return (
        f"{urlsplit(base_url).netloc}: the answer about {what} has an unknown form; the portal may "
        "have changed: is textloom up to date?"
    )
