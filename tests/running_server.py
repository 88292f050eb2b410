"""A real server on loopback, in a thread."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from conftest import train_run
from textloom.config import ServeConfig
from textloom.config.compose import command_config
from textloom.runs.run import Run
from textloom.serving.served import Served, serve_runs
from textloom.serving.server import build_server, listening_socket, open_states, run_server, url_of

SMALL = {"port": 0, "rows": 8, "queue": 64}


@dataclass(frozen=True)
class Running:
    """A server, and clients of it."""

    url: str
    models: dict[str, Served]
    client: openai.OpenAI
    http: httpx.Client

    @property
    def name(self) -> str:
        """The name of the only model."""
        (name,) = self.models
        return name

    def complete(self, prompt: Any = "deep learn", **keys: Any) -> Any:
        """A completion by OpenAI's client."""
        return self.client.completions.create(model=self.name, prompt=prompt, **keys)

    def post(self, path: str, **keys: Any) -> httpx.Response:
        """A request without OpenAI's client."""
        return self.http.post(path, json={"model": self.name, **keys})


@contextmanager
def running(key: str | None = None, **keys: Any) -> Iterator[Running]:
    """A server with these keys of its config."""
    config = command_config("serve", ServeConfig, SMALL | keys)
    ready = threading.Event()
    with listening_socket(config.host, config.port) as listening:
        models, states = serve_runs(config), open_states(config)
        server = build_server(config, models, states, key)
        served = run_server(server, models, listening, ready.set)
        thread = threading.Thread(target=lambda: asyncio.run(served))
        thread.start()
        assert ready.wait(30)
        url, given = url_of(listening), key or "none is needed"
        with (
            openai.OpenAI(base_url=url, api_key=given, max_retries=0) as client,
            httpx.Client(base_url=url, headers={"Authorization": f"Bearer {given}"}, timeout=60) as http,
        ):
            try:
                yield Running(url, models, client, http)
            finally:
                server.should_exit = True
                thread.join(30)
                states.close()
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def stream_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that carries its state, of two layers."""
    keys = ["batching=stream", "model.units=24", "model.layers=2", "trainer.max_epochs=2"]
    return train_run(tmp_path_factory.mktemp("outputs") / "stream", *keys)


@pytest.fixture(scope="module")
def server(stream_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that the tests of a module share."""
    with running(run=str(stream_run.directory), states=str(tmp_path_factory.mktemp("states"))) as found:
        yield found


@pytest.fixture
def serve(tmp_path: Path, stream_run: Run) -> Iterator[Callable[..., Running]]:
    """Start servers with other keys, which end with the test."""
    with ExitStack() as stack:

        def start(**keys: Any) -> Running:
            return stack.enter_context(
                running(**{"run": str(stream_run.directory), "states": str(tmp_path / "states"), **keys})
            )

        yield start
