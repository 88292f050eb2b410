"""The ASGI application: routes, bodies, and errors in JSON."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from textloom.config import ServeConfig
from textloom.errors import TextloomError
from textloom.serving import requests
from textloom.serving.completions import Completion
from textloom.serving.errors import ApiError, invalid_request
from textloom.serving.guards import Guard
from textloom.serving.planning import Bounds, plan_completion, read_state
from textloom.serving.play import show_page
from textloom.serving.requests import CompletionRequest, ScoreRequest
from textloom.serving.responses import DONE, as_event, error_response, json_response
from textloom.serving.served import Served
from textloom.serving.states import StateStore

Body = TypeVar("Body", bound=requests.Request)
Found = TypeVar("Found")

NOT_KEPT = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # by nginx, for example
CLIENT_IS_GONE = 499  # the status that nginx logs for a closed connection; no client reads it


def build_app(
    config: ServeConfig, models: Mapping[str, Served], states: StateStore, key: str | None = None
) -> Starlette:
    """The application that answers for these models."""
    api = Api(config, models, states)
    app = Starlette(
        routes=[
            Route("/", show_page),
            Route("/health", api.health),
            Route("/v1/models", api.list_models),
            Route("/v1/models/{name}", api.show_model),
            Route("/v1/completions", api.complete, methods=["POST"]),
            Route("/v1/score", api.score, methods=["POST"]),
            Route("/v1/states/{name}", api.show_state),
            Route("/v1/states/{name}", api.delete_state, methods=["DELETE"]),
        ],
        exception_handlers={
            ApiError: _answer_error,
            HTTPException: _answer_http_error,
            TextloomError: _answer_textloom_error,
            ClientDisconnect: _answer_nobody,
            Exception: _answer_defect,
        },
    )
    app.add_middleware(Guard, host=config.host, key=key)
    return app


@dataclass(frozen=True)
class Api:
    """The functions behind the routes."""

    config: ServeConfig
    models: Mapping[str, Served]
    states: StateStore

    async def health(self, request: Request) -> Response:
        """``GET /health``: the numbers of texts that are drawn and that wait."""
        load = {name: served.engine.load for name, served in self.models.items()}
        return json_response({"status": "ok", "models": load, "states": len(self.states)})

    async def list_models(self, request: Request) -> Response:
        """``GET /v1/models``."""
        return json_response({"object": "list", "data": [served.as_json() for served in self.models.values()]})

    async def show_model(self, request: Request) -> Response:
        """``GET /v1/models/NAME``."""
        return json_response(self._served(request.path_params["name"]).as_json())

    async def complete(self, request: Request) -> Response:
        """``POST /v1/completions``."""
        asked = await self._read(request, CompletionRequest)
        served = self._served(asked.model)
        bounds = Bounds(self.config.max_tokens, self.config.max_prompt_tokens)
        completion = await asyncio.to_thread(plan_completion, asked, served, self.states, bounds)
        if completion.scores_prompts:
            await self._in_time(request, completion.score_prompts())
        completion.start()
        if asked.stream:
            return StreamingResponse(_stream(completion), media_type="text/event-stream", headers=NOT_KEPT)
        try:
            return json_response(await _while_connected(request, completion.whole()))
        finally:
            completion.cancel()

    async def score(self, request: Request) -> Response:
        """``POST /v1/score``."""
        asked = await self._read(request, ScoreRequest)
        served = self._served(asked.model)
        tokens = len(await asyncio.to_thread(served.prompt_ids, asked.input))
        name = asked.state_id
        before = None if name is None else await asyncio.to_thread(read_state, self.states, name, served)
        if tokens > self.config.max_prompt_tokens:
            message = f"input: {tokens} tokens, and there may be {self.config.max_prompt_tokens}; shorten it"
            raise ApiError(400, message, param="input", code="context_length_exceeded")
        future = asyncio.wrap_future(served.engine.call(served.score(asked.input, asked.ends, before)))
        score = await self._in_time(request, _awaited(future))
        figures = {"nats": score.nats, "perplexity": score.perplexity, "bits_per_char": score.bits_per_char}
        return json_response({"object": "score", "model": served.name, **asdict(score), **figures})

    async def show_state(self, request: Request) -> Response:
        """``GET /v1/states/ID``."""
        expires = self.states.expires(request.path_params["name"])
        if expires is None:
            raise _no_state()
        return json_response({"id": request.path_params["name"], "object": "state", "expires": int(expires)})

    async def delete_state(self, request: Request) -> Response:
        """``DELETE /v1/states/ID``."""
        if not self.states.remove(request.path_params["name"]):
            raise _no_state()
        return json_response({"id": request.path_params["name"], "object": "state", "deleted": True})

    async def _in_time(self, request: Request, work: Coroutine[Any, Any, Found]) -> Found:
        """The result of some work. Raises ApiError if it takes too long."""
        try:
            return await asyncio.wait_for(_while_connected(request, work), self.config.max_seconds)
        except TimeoutError as error:
            raise ApiError(422, f"not scored within {self.config.max_seconds:g} seconds", code="timeout") from error

    def _served(self, name: str) -> Served:
        if name not in self.models:
            names = ", ".join(self.models)
            raise ApiError(
                404, f"there is no model {name[:100]!r}; there is {names}", param="model", code="model_not_found"
            )
        return self.models[name]

    async def _read(self, request: Request, schema: type[Body]) -> Body:
        """The body of a request. Raises ApiError if it is too long, comes too slowly, or does not fit the schema."""
        content = bytearray()
        try:
            async with asyncio.timeout(self.config.max_seconds):
                async for part in request.stream():
                    content += part
                    if len(content) > self.config.max_body:
                        message = f"the body has more than {self.config.max_body} bytes; shorten it"
                        raise ApiError(413, message, code="body_too_large")
        except TimeoutError as error:
            raise ApiError(408, f"the body did not come within {self.config.max_seconds:g} seconds") from error
        try:
            return schema.model_validate_json(bytes(content))
        except ValidationError as error:
            raise invalid_request(error) from error


async def _stream(completion: Completion) -> AsyncIterator[bytes]:
    """The events of a streamed answer. Drawing is cancelled if the client disconnects."""
    options = completion.request.stream_options
    with_usage = options is not None and options.include_usage
    usage: dict[str, Any] = {"usage": None} if with_usage else {}
    try:
        if completion.request.echo:
            for number in range(len(completion.texts)):
                yield as_event(completion.body([completion.echo(number)]) | usage)
        async for choice in completion.choices():
            yield as_event(completion.body([choice]) | usage)
        if with_usage:
            yield as_event(completion.body([]) | {"usage": completion.usage()})
        yield DONE
    except ApiError as error:
        yield as_event(error.body())
    finally:
        completion.cancel()


async def _while_connected(request: Request, work: Coroutine[Any, Any, Found]) -> Found:
    """The result of some work, which is cancelled if the client disconnects."""
    working, gone = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait([working, gone], return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _awaited(future: "asyncio.Future[Found]") -> Found:
    return await future


def _no_state() -> ApiError:
    return ApiError(404, "there is no such state", code="state_not_found")


async def _answer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error_response(error)


async def _answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_response(ApiError(error.status_code, str(error.detail)))


async def _answer_textloom_error(request: Request, error: Exception) -> Response:
    return error_response(ApiError(400, str(error)))


async def _answer_nobody(request: Request, error: Exception) -> Response:
    return Response(status_code=CLIENT_IS_GONE)


async def _answer_defect(request: Request, error: Exception) -> Response:
    return error_response(ApiError(500, "the request failed; the log says why", code="failed"))
