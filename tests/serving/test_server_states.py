"""Stored states: a text goes on from one as if all of it were read again, also after a restart."""

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import openai
import pytest
import torch

from running_server import Running, running, serve, server, stream_run
from textloom.errors import ConfigError
from textloom.generation.reading import Reading
from textloom.generation.state import State
from textloom.runs.run import Run
from textloom.serving.states import StateStore

LONG = "the network learns what a letter is. " * 30  # several blocks, and some tokens


def test_going_on_from_a_state_gives_what_reading_all_of_it_gives(server: Running) -> None:
    whole = server.complete(LONG + "deep", max_tokens=40, seed=1, logprobs=1).choices[0]
    (read,) = server.complete(LONG, max_tokens=0, extra_body={"store": True}).choices
    assert (read.text, read.finish_reason) == ("", "length")
    for _ in range(2):  # a state stays when it was used
        gone_on = server.complete("deep", max_tokens=40, seed=1, logprobs=1, extra_body={"state_id": read.state_id})
        assert gone_on.choices[0].text == whole.text
        assert gone_on.choices[0].logprobs == whole.logprobs
        assert gone_on.usage.prompt_tokens == 4


def test_a_state_is_that_after_the_text(server: Running) -> None:
    """With a stop text, too: what was drawn behind it is forgotten."""
    first = server.complete("deep", max_tokens=80, seed=4, stop=" ", extra_body={"store": True}).choices[0]
    more = server.complete(None, max_tokens=20, seed=5, extra_body={"state_id": first.state_id}).choices[0]
    assert more.text == server.complete("deep" + first.text, max_tokens=20, seed=5).choices[0].text
    *_, last = server.complete("deep", max_tokens=3, seed=4, stream=True, extra_body={"store": True})
    assert re.fullmatch("state-[0-9a-f]{32}", last.choices[0].state_id)


def test_states_survive_a_restart(stream_run: Run, tmp_path: Path) -> None:
    keys = {"run": str(stream_run.directory), "states": str(tmp_path)}
    asked = {"prompt": "deep", "max_tokens": 20, "seed": 2}
    with running(**keys) as before:
        (read,) = before.complete(LONG, max_tokens=5, seed=1, extra_body={"store": True}).choices
        state = {"state_id": read.state_id}
        expected = before.complete(**asked, extra_body=state).choices
    with running(**keys) as after:
        assert after.complete(**asked, extra_body=state).choices == expected


def test_a_state_is_shown_and_removed(server: Running) -> None:
    (read,) = server.complete("deep", max_tokens=0, extra_body={"store": True}).choices
    shown = server.http.get(f"/states/{read.state_id}").json()
    assert time.time() < shown["expires"] < time.time() + 169 * 3600
    assert server.http.delete(f"/states/{read.state_id}").json()["deleted"]
    assert server.http.delete(f"/states/{read.state_id}").status_code == 404
    with pytest.raises(openai.NotFoundError, match="there is no such state"):
        server.complete("deep", extra_body={"state_id": read.state_id})


NO_STATES = ("../../etc/passwd", "..%2f..%2fconfig.yaml", "state-" + "0" * 32, ".lock", "x" * 5000)


@pytest.mark.parametrize("name", NO_STATES)
def test_no_name_of_a_state_reaches_another_file(server: Running, name: str) -> None:
    assert server.http.get(f"/states/{name}").status_code == 404
    with pytest.raises(openai.NotFoundError, match="there is no such state"):
        server.complete("deep", extra_body={"state_id": name})


def test_a_state_of_another_run_is_refused(serve: Callable[..., Running], stream_run: Run, toy_run: Run) -> None:
    server = serve(run={"one": str(stream_run.directory), "other": str(toy_run.directory)})
    made = server.client.completions.create(model="one", prompt="deep", max_tokens=1, extra_body={"store": True})
    state = {"state_id": made.choices[0].state_id}
    with pytest.raises(openai.BadRequestError, match="the state is of another model"):
        server.client.completions.create(model="other", prompt="deep", extra_body=state)


def test_a_damaged_state_is_refused(serve: Callable[..., Running], tmp_path: Path) -> None:
    server = serve()
    (read,) = server.complete("deep", max_tokens=0, extra_body={"store": True}).choices
    file = tmp_path / "states" / f"{read.state_id}.safetensors"
    content = bytearray(file.read_bytes())
    for damaged in (content[:-100], content[:200] + b"\0" + content[201:], b""):
        file.write_bytes(damaged)
        answer = server.post("/completions", prompt="deep", state_id=read.state_id)
        assert (answer.status_code, answer.json()["error"]["code"]) == (410, "state_damaged")


# --- the store ------------------------------------------------------------------------------------------------------


def store(folder: Path, most_bytes: int = 100_000, oldest_seconds: float = 100.0) -> StateStore:
    return StateStore(folder, most_bytes, oldest_seconds)


def state(size: int = 30_000) -> State:
    return State("a model", Reading((torch.zeros(size // 4),), (1,), (), 256))


def test_states_that_were_not_used_for_longest_make_room(tmp_path: Path) -> None:
    states = store(tmp_path)
    names = [states.put(state()) for _ in range(3)]
    assert states.get(names[0]) is not None
    names.append(states.put(state()))
    assert [states.get(name) is not None for name in names] == [True, False, True, True]
    assert len(list(tmp_path.glob("*.safetensors"))) == len(states) == 3


def test_old_states_are_removed(tmp_path: Path) -> None:
    states = store(tmp_path)
    old, new = states.put(state()), states.put(state())
    os.utime(tmp_path / f"{old}.safetensors", (0, 0))
    states.close()
    states = store(tmp_path)
    assert states.get(old) is None
    assert states.get(new) is not None


def test_what_was_not_written_whole_is_removed_and_other_files_stay(tmp_path: Path) -> None:
    for name in (".state-1.safetensors.77", "notes.safetensors", "state-1.safetensors"):
        (tmp_path / name).write_bytes(b"x")
    states = store(tmp_path)
    assert len(states) == 0
    assert {file.name for file in tmp_path.iterdir()} == {".lock", "notes.safetensors", "state-1.safetensors"}


def test_two_servers_do_not_share_a_folder(tmp_path: Path) -> None:
    first = store(tmp_path)
    with pytest.raises(ConfigError, match="another server uses it; give another folder"):
        store(tmp_path)
    first.close()
    store(tmp_path).close()
