"""A real TensorBoard, asked as its page asks it."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def tensorboard(logdir: Path, runs: int) -> Iterator[str]:
    """The address of the plugins of a TensorBoard that has found this many runs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["--logdir", str(logdir), "--port", str(port), "--load_fast=false"]
    command = [sys.executable, "-m", "tensorboard.main", *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        url = f"http://127.0.0.1:{port}/data/plugin"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if len(ask(f"{url}/scalars/tags")) == runs:
                    break
            except OSError:
                pass
            time.sleep(0.2)
        yield url
        server.terminate()


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    """The JSON that the server answers with."""
    return json.loads(fetch(url, body))


def fetch(url: str, body: dict[str, Any] | None = None) -> bytes:
    """What the server answers with."""
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        content: bytes = answer.read()
        return content
