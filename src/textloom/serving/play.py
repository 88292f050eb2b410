"""The page of the server, for ``textloom play``: one HTML file that asks the server it comes from."""

import os
import sys
import webbrowser
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

PAGE = Path(__file__).with_name("play.html")
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The content security policy: the page may run its own script, and send requests to its own server."""


async def show_page(request: Request) -> Response:
    """``GET /``."""
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache", "Referrer-Policy": "no-referrer"}
    return Response(PAGE.read_bytes(), headers=headers, media_type="text/html")


def page_address(url: str) -> str:
    """The address of the page of a server with this base URL."""
    return url.removesuffix("v1")


def open_page(address: str) -> bool:
    """Open the page in a new tab. False if there is no browser with windows, or it does not start."""
    has_windows = sys.platform in ("darwin", "win32") or {"DISPLAY", "WAYLAND_DISPLAY", "BROWSER"} & set(os.environ)
    return bool(has_windows) and webbrowser.open(address, new=2)  # without windows it could be one in this terminal
