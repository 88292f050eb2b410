"""Error responses in the form that OpenAI's clients read."""

import re
from typing import Any

from pydantic import ValidationError

PARAMETER = re.compile(r"([a-z_]+): ")


class ApiError(Exception):
    """A request that is refused, with a status of 400 or more."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ):
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code
        self.retry_after = retry_after
        """Seconds after which the client may try again."""

    def body(self) -> dict[str, Any]:
        """The body of the response."""
        kind = "invalid_request_error" if self.status < 429 else "server_error"
        if self.status == 429:
            kind = "rate_limit_error"
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}

    def headers(self) -> dict[str, str]:
        """Headers of the response."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


def invalid_request(error: ValidationError) -> ApiError:
    """The error for a body that does not fit the model of the request: the first of its innermost mistakes."""
    mistakes = error.errors(include_url=False, include_context=False, include_input=False)
    first = max(mistakes, key=lambda mistake: len(mistake["loc"]))
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "there is no such parameter"
    if not first["loc"]:  # the whole body, or parameters that do not fit each other
        named = PARAMETER.match(message)
        return ApiError(400, message, param=named[1] if named else None, code="invalid_value")
    param = str(first["loc"][0])
    return ApiError(400, f"{param}: {message}", param=param, code="invalid_value")
