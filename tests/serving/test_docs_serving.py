"""The examples of docs/serving.md run as they are printed, and its numbers are the codes."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Answer
from running_server import Running, server, stream_run
from textloom.config import ServeConfig
from textloom.serving.requests import CompletionRequest
from textloom.serving.server import FEWEST_CHARACTERS, KEY_VARIABLE

PAGE = (Path(__file__).parents[2] / "docs/serving.md").read_text(encoding="utf-8")
BLOCKS = {language: re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) for language in ("sh", "python")}


def test_the_commands_are_understood(command: Callable[..., Answer]) -> None:
    for line in BLOCKS["sh"][0].splitlines():
        _, name, *arguments = shlex.split(line)
        answer = command(name, *arguments, "--cfg", "job")
        assert answer.status == 0, answer.err
        assert "queue: 256" in answer.out


def test_the_python_runs(server: Running, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(BLOCKS["python"]) == 2
    for block in BLOCKS["python"]:
        exec(block.replace("http://127.0.0.1:8000/v1", server.url), {})
        assert len(capsys.readouterr().out) > 40


def test_parameters_keys_and_limits_are_described_as_they_are() -> None:
    rows = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named <= set(CompletionRequest.model_fields)
    keys = {"rows", "queue", "states", "states_megabytes", "states_hours", "max_body", "max_seconds"}
    assert all(f"`{key}`" in PAGE for key in keys)
    assert keys <= set(ServeConfig.model_fields)
    assert f"at least {FEWEST_CHARACTERS} characters in the environment variable\n  `{KEY_VARIABLE}`" in PAGE
