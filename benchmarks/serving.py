"""Serving: 64 concurrent streams against the rate at which ``generate`` draws 64 texts.

The client is a process of its own, as in real use, and shares the machine with the server.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import stream_client
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
    """From the first request to the last byte, measured by the client."""
    keys = {"model": NAME, "prompt": PROMPT, "max_tokens": length, "temperature": 0.8}
    streamed = {"stream": True, "stream_options": {"include_usage": True}}
    bodies = [{**keys, **streamed, "seed": seed} for seed in range(streams)]
    command = [sys.executable, stream_client.__file__, str(port), json.dumps(bodies)]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    if found["tokens"] != streams * length:
        raise RuntimeError(f"{found['tokens']} tokens came, and {streams * length} were asked for")
    return float(found["seconds"])


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
