"""Many requests at once, and a server that is killed."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from running_server import Running, running, stream_run
from textloom.runs.run import Run

REQUESTS, AT_ONCE, KINDS = 10_000, 100, 50
ROOT = Path(__file__).parents[2]


def body(number: int) -> dict[str, Any]:
    """One of so many kinds of requests, of other prompts, lengths and seeds."""
    kind = number % KINDS
    return {
        "model": "tiny",
        "prompt": f"the network {'abcdefghij'[kind % 10]}"[: 5 + kind % 9],
        "max_tokens": 1 + kind % 23,
        "seed": kind,
        "temperature": 0.5 + kind % 3 / 2,
        "stream": kind % 5 == 0,
    }


async def text_of(http: httpx.AsyncClient, number: int) -> str:
    """The text of an answer, whole or streamed. A request that is told to wait is sent again."""
    while True:
        answer = await http.post("completions", json=body(number))
        if answer.status_code != 429:
            break
        await asyncio.sleep(0.05)
    assert answer.status_code == 200, answer.text
    if not body(number)["stream"]:
        return str(answer.json()["choices"][0]["text"])
    events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    assert events.pop() == "[DONE]"
    return "".join(json.loads(event)["choices"][0]["text"] for event in events)


async def texts_of(url: str, numbers: list[int], at_once: int) -> list[str]:
    """The texts of all requests, with so many of them under way."""
    limits = httpx.Limits(max_connections=at_once)
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as http:
        room = asyncio.Semaphore(at_once)

        async def one(number: int) -> str:
            async with room:
                return await text_of(http, number)

        return [*await asyncio.gather(*map(one, numbers))]


def resident_bytes(process: int) -> int:
    said = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
    assert said is not None
    return 1024 * int(said[1])


@contextmanager
def started(run: Run, states: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command in a process of its own, and its URL."""
    arguments = ["serve", f"run={run.directory}", f"states={states}", "port=0", "queue=64", "rows=32"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "textloom", *arguments]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            name, _, url = process.stdout.readline().strip().partition(": ")
            assert name == "tiny"
            yield process, url
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.timeout(900)
def test_ten_thousand_requests_are_answered_each_as_if_alone_in_flat_memory(stream_run: Run, tmp_path: Path) -> None:
    with started(stream_run, tmp_path) as (process, url):
        alone = asyncio.run(texts_of(url, [*range(KINDS)], 1))
        assert len(set(alone)) > KINDS / 2
        asyncio.run(texts_of(url, [*range(1000)], AT_ONCE))
        before = resident_bytes(process.pid)
        together = asyncio.run(texts_of(url, [*range(REQUESTS)], AT_ONCE))
        grown = resident_bytes(process.pid) - before
    assert together == [alone[number % KINDS] for number in range(REQUESTS)]
    assert grown < 32e6


@pytest.mark.slow
def test_stored_states_are_there_after_kill_9(stream_run: Run, tmp_path: Path) -> None:
    asked = {"model": "tiny", "prompt": "deep", "max_tokens": 20, "seed": 1}

    def choices(url: str, **keys: Any) -> Any:
        return httpx.post(f"{url}/completions", json={**asked, **keys}).json()["choices"]

    with started(stream_run, tmp_path) as (process, url):
        ids = [choices(url, store=True, seed=seed)[0]["state_id"] for seed in range(20)]
        expected = [choices(url, state_id=name) for name in ids]
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    with started(stream_run, tmp_path) as (_, url):
        assert [choices(url, state_id=name) for name in ids] == expected


@pytest.mark.slow
def test_ctrl_c_ends_the_command(stream_run: Run, tmp_path: Path) -> None:
    with started(stream_run, tmp_path) as (process, url):
        assert httpx.get(f"{url}/models").status_code == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130


def test_a_hundred_requests_at_once_are_those_drawn_alone(stream_run: Run, tmp_path: Path) -> None:
    with running(run=str(stream_run.directory), states=str(tmp_path), queue=20) as server:
        alone = asyncio.run(texts_of(server.url, [*range(KINDS)], 1))
        together = asyncio.run(texts_of(server.url, [*range(2 * KINDS)], 40))
    assert together == alone * 2
