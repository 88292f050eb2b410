"""The server: its socket, uvicorn, and starting and stopping."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import uvicorn

from textloom.config import ServeConfig
from textloom.config.paths import cache_directory, with_home
from textloom.errors import ConfigError
from textloom.serving.app import build_app
from textloom.serving.served import Served, serve_runs
from textloom.serving.states import StateStore

log = logging.getLogger(__name__)

KEY_VARIABLE = "TEXTLOOM_API_KEY"
FEWEST_CHARACTERS = 16  # of a key
CONNECTIONS = 1024
SECONDS_IDLE = 75  # of an idle connection; longer than clients keep one, so that the client closes it first
SECONDS_TO_FINISH = 5  # for requests that are being answered when the server is stopped


def serve(config: ServeConfig, ready: Callable[[Sequence[str], str], None]) -> None:
    """Serve runs until Ctrl-C or SIGTERM. ``ready`` is called with the names of the models and the URL
    once requests are answered.

    Raises ConfigError if the port is in use, or the key is missing where it is needed; RunError for a run that cannot
    be served.
    """
    key = api_key(config)
    with listening_socket(config.host, config.port) as listening:
        models = serve_runs(config)
        states = open_states(config)
        try:
            server = build_server(config, models, states, key)
            asyncio.run(run_server(server, models, listening, lambda: ready([*models], url_of(listening))))
        finally:
            states.close()


def build_server(
    config: ServeConfig, models: Mapping[str, Served], states: StateStore, key: str | None = None
) -> uvicorn.Server:
    """Build uvicorn's server for these models, without starting it."""
    app = build_app(config, models, states, key)
    settings = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=SECONDS_IDLE,
        timeout_graceful_shutdown=SECONDS_TO_FINISH,
    )
    return uvicorn.Server(settings)


async def run_server(
    server: uvicorn.Server, models: Mapping[str, Served], listening: socket.socket, ready: Callable[[], None]
) -> None:
    """Start the engines, answer requests until the server is stopped, and stop the engines."""
    loop = asyncio.get_running_loop()
    for served in models.values():
        served.engine.start(loop)
    try:
        serving = asyncio.ensure_future(server.serve(sockets=[listening]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        if server.started:
            ready()
        await serving
    finally:
        for served in models.values():
            await asyncio.to_thread(served.engine.close)


def api_key(config: ServeConfig) -> str | None:
    """The key that requests have to give; None if they need none.

    Raises ConfigError if there is none for a server that other machines can reach, or if it is short.
    """
    key = os.environ.get(KEY_VARIABLE) or None
    if key is None and not config.is_local:
        raise ConfigError(
            f"host={config.host}: other machines can connect; set the variable {KEY_VARIABLE} to a secret that "
            "requests have to give, or leave host out"
        )
    if key is not None and len(key) < FEWEST_CHARACTERS:
        raise ConfigError(
            f"{KEY_VARIABLE}: has {len(key)} characters, which can be guessed; give at least {FEWEST_CHARACTERS}"
        )
    return key


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that is bound to the address. Raises ConfigError if it cannot be."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise ConfigError(f"host={host}: {error.strerror}; give the address of this machine, as 127.0.0.1") from error
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(CONNECTIONS)
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"port={port}: {host} cannot be listened on ({error.strerror}); give another port, or 0 for any free one"
        ) from error
    return listening


def url_of(listening: socket.socket) -> str:
    """The base URL for clients."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"


def open_states(config: ServeConfig) -> StateStore:
    """The store of states. Raises ConfigError if it cannot be used."""
    directory = cache_directory() / config.states_folder
    if config.states:
        directory = Path(with_home(config.states, "states"))
    return StateStore(directory, int(config.states_megabytes * 1e6), config.states_hours * 3600)
