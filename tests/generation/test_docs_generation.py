"""The examples of docs/generation.md run as they are printed."""

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Answer
from textloom.config import GenerateConfig
from textloom.runs.run import Run

PAGE = (Path(__file__).parents[2] / "docs/generation.md").read_text(encoding="utf-8")
BLOCKS = {language: re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) for language in ("sh", "python")}


@pytest.fixture
def workplace(toy_run: Run, tmp_path: Path) -> Path:
    """A run that is the latest, and a file of prompts."""
    shutil.copytree(toy_run.directory, tmp_path / "outputs/toy/run")
    (tmp_path / "prompts.txt").write_text('deep learn\n{"prompt": "a network"}\n')
    return tmp_path


@pytest.mark.usefixtures("workplace")
def test_the_commands_run(command: Callable[..., Answer]) -> None:
    lines = [line for block in BLOCKS["sh"] for line in block.splitlines() if line.startswith("textloom ")]
    assert len(lines) > 5
    for line in lines:
        _, name, *arguments = shlex.split(line)
        answer = command(name, *arguments)
        assert answer.status == 0, f"{line}\n{answer.err}"
        assert answer.out


@pytest.mark.usefixtures("workplace")
def test_the_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    for block in BLOCKS["python"]:
        exec(block, {})
    assert "deep learn" in capsys.readouterr().out


def test_every_key_that_is_described_exists() -> None:
    table = PAGE.partition("## How tokens are drawn")[2].partition("```sh")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {key for row in rows for key in re.findall(r"`(\w+)`", row)} <= set(GenerateConfig.model_fields)
