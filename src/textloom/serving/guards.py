"""Checks of every request before its body is read: its origin and its key.

A page of another origin can send requests to a server on loopback, and a name that its owner points to 127.0.0.1 makes
them requests of the same origin (DNS rebinding). So the headers Host and Origin have to name this machine; there are
no CORS headers, and bodies have to be JSON, which a page cannot send elsewhere without asking first.
"""

import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from textloom.config.serving import LOOPBACK
from textloom.serving.errors import ApiError
from textloom.serving.responses import error_response

OPEN = ("/",)
"""Paths that need no key: a browser cannot send one with an address, and the page asks for it."""


class Guard:
    """Passes a request on to an application, or answers it with an error."""

    def __init__(self, app: ASGIApp, host: str, key: str | None):
        self._app, self._key = app, key
        # with a key any name of the server is accepted: a page that has the key may send requests
        self._hosts = None if key is not None and host not in LOOPBACK else {*LOOPBACK, host}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI interface."""
        if scope["type"] == "http":
            needs_key = self._key is not None and scope["path"] not in OPEN
            error = self._error(Headers(scope=scope), scope["method"], needs_key)
            if error is not None:
                await error_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _error(self, headers: Headers, method: str, needs_key: bool) -> ApiError | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._hosts is not None and _split(f"//{host}")[0] not in self._hosts:
            return ApiError(403, "the header Host names another machine", code="wrong_host")
        if origin is not None and _split(origin)[1] != host:
            return ApiError(403, "pages of another origin are refused", code="wrong_origin")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return ApiError(403, "pages of another origin are refused", code="wrong_origin")
        if needs_key and not self._has_key(headers.get("authorization", "")):
            return ApiError(
                401, "the API key is missing or wrong; send it as Authorization: Bearer KEY", code="invalid_api_key"
            )
        if method == "POST" and headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return ApiError(415, "the body has to be JSON; send Content-Type: application/json", code="not_json")
        return None

    def _has_key(self, authorization: str) -> bool:
        kind, _, given = authorization.partition(" ")
        assert self._key is not None
        return kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._key.encode())


def _split(url: str) -> tuple[str, str]:
    """The name of the host, and the same with its port; empty if they cannot be read."""
    try:
        parts = urlsplit(url)
        return parts.hostname or "", parts.netloc
    except ValueError:
        return "", ""
