"""Serving: 64 concurrent streams against the rate at which ``generate`` draws 64 texts.

The client is a process of its own, as in real use, and shares the machine with the server.
"""

import asyncio
import json
import multiprocessing
import statistics
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.generation import PROMPT, TOKENIZER, model_of
from benchmarks.rows import Row, seconds
from textloom.config import ServeConfig, TrainConfig
from textloom.config.compose import command_config, compose
from textloom.generation.generate import generate_texts
from textloom.generation.sampling import Sampling
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.serving.engine import Engine, EngineLimits
from textloom.serving.served import Served
from textloom.serving.server import build_server, listening_socket, open_states, run_server

NAME, MUST = "benchmark", 0.8


def main(quick: bool = False) -> list[Row]:
    """One row: tokens a second, the client's and the server's work included."""
    units, streams, length, turns = (8, 4, 40, 2) if quick else (512, 64, 1000, 7)
    model, served, drawn = model_of(units), [], []
    with _server(model, streams) as port:
        for _ in range(turns + 1):
            served.append(_seconds_of_streams(port, streams, length))
            drawn.append(_seconds_of_texts(model, streams, length))
    ratios = [b / a for a, b in zip(served[1:], drawn[1:], strict=True)]  # the first turn warms up
    rates = [streams * length / statistics.median(turn[1:]) for turn in (served, drawn)]
    work = f"serving on cpu, {streams} streams, LSTM {units} char"
    return [Row(work, f"generate, batch {streams}", *rates, "tokens/s", statistics.median(ratios), MUST)]


def _seconds_of_texts(model: RecurrentLanguageModel, texts: int, length: int) -> float:
    samplings = [Sampling(0.8)] * texts
    return seconds(lambda: generate_texts(model, TOKENIZER, PROMPT, length, samplings, seed=0))


def _seconds_of_streams(port: int, streams: int, length: int) -> float:
    """From the first request to the last byte, measured in the process of the client."""
    receiving, sending = multiprocessing.get_context("spawn").Pipe(duplex=False)
    client = multiprocessing.get_context("spawn").Process(target=_client, args=(sending, port, streams, length))
    client.start()
    found, tokens = receiving.recv()
    client.join()
    if tokens != streams * length:
        raise RuntimeError(f"{tokens} tokens came, and {streams * length} were asked for")
    return float(found)


def _client(sending: "multiprocessing.connection.Connection", port: int, streams: int, length: int) -> None:
    tokens: list[int] = []

    async def read_all() -> None:
        tokens.extend(await asyncio.gather(*(_read_stream(port, seed, length) for seed in range(streams))))

    took = seconds(lambda: asyncio.run(read_all()))
    sending.send((took, sum(tokens)))


async def _read_stream(port: int, seed: int, length: int) -> int:
    """Read a stream to its end. Returns the number of tokens that the server counted."""
    keys = {"max_tokens": length, "temperature": 0.8, "seed": seed, "stream": True}
    usage = {"stream_options": {"include_usage": True}}
    body = json.dumps({"model": NAME, "prompt": PROMPT, **keys, **usage}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    last = b""
    while part := await reader.read(1 << 16):
        last = (last + part)[-2000:]
    writer.close()
    (event,) = (line for line in last.decode().splitlines() if '"completion_tokens"' in line)
    return int(json.loads(event.removeprefix("data: "))["usage"]["completion_tokens"])


@contextmanager
def _server(model: RecurrentLanguageModel, rows: int) -> Iterator[int]:
    """The port of a server of this model, which is served by a thread of this process."""
    with tempfile.TemporaryDirectory() as folder:
        config = command_config("serve", ServeConfig, {"port": 0, "rows": rows, "states": folder})
        trained = compose("train", TrainConfig, ["batching=stream"]).config
        engine = Engine(model, TOKENIZER, None, EngineLimits(rows, config.queue, config.max_seconds))
        models, states = {NAME: Served(NAME, trained, TOKENIZER, model, "", engine)}, open_states(config)
        server, ready = build_server(config, models, states), threading.Event()
        with listening_socket(config.host, config.port) as listening:
            served = run_server(server, models, listening, ready.set)
            thread = threading.Thread(target=lambda: asyncio.run(served))
            thread.start()
            ready.wait()
            try:
                yield int(listening.getsockname()[1])
            finally:
                server.should_exit = True
                thread.join()
                states.close()


if __name__ == "__main__":
    print(*main(), sep="\n")
