"""Responses in JSON, and as server-sent events."""

import json
from typing import Any

from starlette.responses import Response

from textloom.serving.errors import ApiError

DONE = b"data: [DONE]\n\n"
"""The last event of a stream."""


def json_response(content: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON body."""
    return Response(as_json(content), status, headers, "application/json")


def error_response(error: ApiError) -> Response:
    """The answer to a request that is refused."""
    return json_response(error.body(), error.status, error.headers())


def as_event(content: dict[str, Any]) -> bytes:
    """A server-sent event."""
    return b"data: " + as_json(content) + b"\n\n"


def as_json(content: dict[str, Any]) -> bytes:
    """JSON in ASCII; line ends within texts are escaped."""
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode("ascii")
