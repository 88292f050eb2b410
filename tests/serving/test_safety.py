"""A server refuses what it should, in JSON, and serves the others on."""

import json
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

import textloom
from conftest import Answer, train_run
from running_server import Running, serve, server, stream_run
from textloom.config import ServeConfig
from textloom.config.compose import command_config
from textloom.errors import ConfigError
from textloom.runs.run import Run
from textloom.serving.server import api_key
from textloom.system.files import read_json, write_json

KEY = "a key of the test, 42"
FOREVER = {"max_tokens": 4096, "seed": 1}


def error_of(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    return error


def busy(server: Running) -> int:
    return int(server.http.get(server.url.replace("/v1", "/health")).json()["models"][server.name]["drawn"])


def wait_until_idle(server: Running) -> None:
    deadline = time.monotonic() + 20
    while busy(server):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "[::"},
        {"Origin": "http://[::"},
        {"Host": "evil.example:8000", "Origin": "http://evil.example:8000"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_page_of_another_origin_is_refused(server: Running, headers: dict[str, str]) -> None:
    for method, path in (("GET", "/models"), ("POST", "/completions"), ("OPTIONS", "/completions")):
        answer = server.http.request(method, path, headers=headers, json={"model": "tiny", "prompt": "deep"})
        assert error_of(answer, 403)["code"] in ("wrong_host", "wrong_origin")
        assert not any(name.startswith("access-control") for name in answer.headers)


def test_the_servers_own_page_is_answered(server: Running) -> None:
    own = {"Origin": server.url.removesuffix("/v1"), "Sec-Fetch-Site": "same-origin"}
    assert server.http.get("/models", headers=own).status_code == 200
    assert server.http.get("/models", headers={"Host": "localhost:80"}).status_code == 200


def test_a_body_that_a_page_can_send_without_asking_is_refused(server: Running) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = server.http.post("/completions", content=b'{"model": "tiny"}', headers={"Content-Type": kind})
        error_of(answer, 415)


def test_a_key_is_asked_for(serve: Callable[..., Running]) -> None:
    server = serve(key=KEY)
    assert server.complete(max_tokens=2).choices
    for given in ("", "Bearer", "Bearer wrong", f"Basic {KEY}", f"Bearer {KEY}é"):
        answer = server.http.get("/models", headers={"Authorization": given.encode()})
        assert error_of(answer, 401)["code"] == "invalid_api_key"
    with pytest.raises(openai.AuthenticationError), openai.OpenAI(base_url=server.url, api_key="x") as stranger:
        stranger.models.list()


def test_other_machines_need_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    everywhere = command_config("serve", ServeConfig, {"host": "0.0.0.0"})
    monkeypatch.delenv("TEXTLOOM_API_KEY", raising=False)
    assert api_key(command_config("serve", ServeConfig, {})) is None
    with pytest.raises(ConfigError, match=r"host=0\.0\.0\.0: other machines can connect; set the variable"):
        api_key(everywhere)
    monkeypatch.setenv("TEXTLOOM_API_KEY", "short")
    with pytest.raises(ConfigError, match="has 5 characters"):
        api_key(everywhere)
    monkeypatch.setenv("TEXTLOOM_API_KEY", KEY)
    assert api_key(everywhere) == KEY


def test_a_server_for_other_machines_takes_any_name_of_its_own(serve: Callable[..., Running]) -> None:
    server = serve(key=KEY, host="0.0.0.0")
    assert server.http.get("/models", headers={"Host": "texts.example"}).status_code == 200


def test_a_body_is_bounded_and_has_to_be_json(server: Running) -> None:
    assert error_of(server.post("/completions", prompt="a" * 1_000_001), 413)["code"] == "body_too_large"
    parts = (b"x" * 1000 for _ in range(5000))
    error_of(server.http.post("/completions", content=parts, headers={"Content-Type": "application/json"}), 413)
    for content in (b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"model": "tiny", "prompt": "\\ud800"}'):
        answer = server.http.post("/completions", content=content, headers={"Content-Type": "application/json"})
        error_of(answer, 400)
    error_of(server.http.get("/completions"), 405)
    error_of(server.http.get("/nowhere"), 404)
    assert server.complete(max_tokens=1).choices


def test_a_client_that_goes_away_frees_its_row(server: Running) -> None:
    stream = server.complete(stream=True, n=8, **FOREVER)
    assert len([*islice(stream, 3)]) == 3
    stream.close()
    wait_until_idle(server)
    address = server.url.removeprefix("http://").removesuffix("/v1").split(":")
    body = json.dumps({"model": server.name, "prompt": "deep", **FOREVER}).encode()
    head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}"
    with socket.create_connection((address[0], int(address[1]))) as raw:
        raw.sendall(head.encode() + b"\r\n\r\n" + body)
        deadline = time.monotonic() + 20
        while not busy(server) and time.monotonic() < deadline:
            time.sleep(0.001)
    wait_until_idle(server)


def test_more_texts_than_may_wait_are_refused_with_a_time_to_retry(serve: Callable[..., Running]) -> None:
    server = serve(rows=2, queue=1)
    with pytest.raises(openai.RateLimitError) as caught:
        server.complete(n=4, **FOREVER)
    assert caught.value.response.headers["Retry-After"] == "1"
    assert caught.value.code == "queue_full"
    with openai.OpenAI(base_url=server.url, api_key="-", max_retries=100) as patient, ThreadPoolExecutor(12) as pool:
        create = patient.completions.create
        answers = pool.map(lambda seed: create(model="tiny", prompt="deep", max_tokens=5, seed=seed), range(12))
        assert len([*answers]) == 12


def test_a_request_that_takes_too_long_is_ended(serve: Callable[..., Running]) -> None:
    server = serve(max_seconds=0.3)
    long = {"prompt": ["deep learn" * 6000] * 4, "max_tokens": 4000}
    with pytest.raises(openai.UnprocessableEntityError, match="not complete within 0"):
        server.complete(**long)
    with pytest.raises(openai.APIError, match="not complete within 0"):
        list(server.complete(**long, stream=True))
    wait_until_idle(server)
    assert server.complete(max_tokens=1).choices


def test_a_defect_costs_the_texts_that_are_drawn_and_no_others(
    serve: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()
    engine = server.models[server.name].engine
    monkeypatch.setattr(engine._rows.decoder, "read", lambda tokens: 1 / 0)
    with pytest.raises(openai.InternalServerError, match="could not be drawn"):
        server.complete(max_tokens=3)
    assert server.complete(max_tokens=3).choices


# --- what cannot be served ------------------------------------------------------------------------------------------


def test_a_port_in_use_is_told_in_one_line(command: Callable[..., Answer], server: Running, stream_run: Run) -> None:
    port = server.url.rpartition(":")[2].removesuffix("/v1")
    answer = command("serve", f"run={stream_run.directory}", f"port={port}")
    assert answer.status == 2
    assert answer.err.startswith(f"port={port}: 127.0.0.1 cannot be listened on (Address already in use); give another")
    assert len(answer.err.splitlines()) == 1


def test_without_its_extra_the_command_says_what_to_install(
    command: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    answer = command("serve")
    assert answer.status == 2
    assert answer.err == "serve: starlette is not installed; install it with: pip install 'textloom[serve]'\n"


def test_what_cannot_be_served_is_told_in_one_line(
    command: Callable[..., Answer], stream_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEXTLOOM_API_KEY", raising=False)
    for arguments, message in (
        (["run=nowhere"], "run=nowhere: there is no such directory"),
        (["run=latest"], "outputs: there is no run here"),
        ([f"run={stream_run.directory},{stream_run.directory}"], "there is another model tiny; name them, as in run="),
        (["run={a/b: outputs}"], "'a/b' is not a name for a model"),
        (["host=0.0.0.0"], "host=0.0.0.0: other machines can connect; set the variable TEXTLOOM_API_KEY"),
        (["host=no.such.host.invalid"], "host=no.such.host.invalid: "),
        (["port=70000"], "port=70000: must be less than 65536"),
    ):
        answer = command("serve", "port=0", *arguments)
        assert answer.status == 2, arguments
        assert message in answer.err
        assert len(answer.err.strip().splitlines()) == 1


def test_a_run_that_is_being_trained_and_an_export_of_another_version_are_refused(
    command: Callable[..., Answer], stream_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command("export", f"run={stream_run.directory}", "to=mine").status == 0
    file = Path("mine/config.json")
    write_json(file, read_json(file) | {"format": "textloom export 7"})
    answer = command("serve", "run=mine", "port=0")
    assert answer.status == 2
    assert "mine/config.json: textloom export 7, which this version does not read" in answer.err
    monkeypatch.setattr(Run, "status", lambda run: {"status": "running"})
    answer = command("serve", f"run={stream_run.directory}", "port=0")
    assert answer.status == 2
    assert "is being trained; wait until it ends, or serve an export of it" in answer.err


def test_an_ngram_and_an_export_are_served(
    command: Callable[..., Answer], serve: Callable[..., Running], stream_run: Run, tmp_path: Path
) -> None:
    ngram = train_run(tmp_path / "ngram", "experiment=ngram")
    assert command("export", f"run={stream_run.directory}", "to=mine").status == 0
    server = serve(run={"ngram": str(ngram.directory), "net": "mine"})
    assert [model.id for model in server.client.models.list()] == ["ngram", "net"]
    for model in ("ngram", "net"):
        choices = [
            server.client.completions.create(model=model, prompt="deep ", max_tokens=20, seed=1, n=n).choices[0]
            for n in (1, 3)
        ]
        assert choices[0] == choices[1]
        assert choices[0].text


# --- scores ---------------------------------------------------------------------------------------------------------


def test_a_score_is_that_of_the_run(server: Running, stream_run: Run) -> None:
    text = "the network learns what a letter is. " * 20
    found = server.post("/score", input=text, ends=True).json()
    expected = textloom.load(stream_run.directory).score(text, ends=True)
    assert found["tokens"] == expected.tokens == len(text) + 1
    for name in ("nats", "bits_per_char", "accuracy"):
        assert found[name] == pytest.approx(getattr(expected, name), rel=1e-6)


def test_a_score_goes_on_from_a_state(server: Running) -> None:
    (read,) = server.complete("the ", max_tokens=0, extra_body={"store": True}).choices
    after = server.post("/score", input="network learns", ends=True, state_id=read.state_id).json()
    first = server.post("/score", input="the ").json()
    whole = server.post("/score", input="the network learns", ends=True).json()
    assert after["nats"] + first["nats"] == pytest.approx(whole["nats"], rel=1e-5)


def test_what_cannot_be_scored_is_refused(server: Running) -> None:
    assert error_of(server.post("/score", input=""), 400)["param"] == "input"
    assert error_of(server.post("/score", input="a" * 70_000), 400)["code"] == "context_length_exceeded"
    assert error_of(server.post("/score", input="a", state_id="x"), 404)["code"] == "state_not_found"


def test_a_long_score_does_not_keep_others_waiting(server: Running) -> None:
    with ThreadPoolExecutor(1) as pool:
        score = pool.submit(server.post, "/score", input="deep learning " * 4000)
        while not score.done():
            assert server.complete(max_tokens=5).choices
        assert score.result().json()["tokens"] == 56_000
