"""The README's commands run as they are printed, shrunk."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import textloom
from conftest import Answer

README = Path(__file__).parents[1] / "README.md"
SHRUNK = [
    *("trainer.max_epochs=1", "trainer.max_steps=3", "trainer.batch_size=4"),
    *("samples.length=5", "trainer.progress_bar=false"),
]


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """The files that the README speaks of."""
    rows = "".join(f'"A neural network, number {i}, learns.",2018-05-29,{i},Net\n' for i in range(30))
    (tmp_path / "FILE.csv").write_text("patent_abstract,patent_date,patent_number,patent_title\n" + rows)
    (tmp_path / "books").mkdir()
    for name in "abcdef":
        (tmp_path / f"books/{name}.txt").write_text(f"the book {name} is about deep learning. " * 9)
    return tmp_path


def test_the_readme_shows_the_commands_that_matter() -> None:
    shown = commands()
    assert "make train" in shown
    for beginning in (
        "python scripts/train.py",
        "python scripts/generate.py",
        "python scripts/evaluate.py",
        "tensorboard",
    ):
        assert any(line.startswith(beginning) for line in shown)


def test_the_readmes_commands_run(command: Callable[..., Answer], workplace: Path) -> None:
    ran = 0
    for line in commands():
        program, *arguments = shlex.split(line)
        if program in ("python", "textloom"):
            script = Path(arguments.pop(0)).stem
            shrunk = SHRUNK if script == "train" else []
            answer = command(script, *arguments, *shrunk)
            assert answer.status == 0, f"{line}\n{answer.err}"
            assert answer.out or "the run is completed" in answer.err
            ran += 1
    assert ran >= 5


def test_the_readmes_python_runs(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```(\w+)\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert [language for language, _ in blocks][:2] == ["sh", "python"]
    train = textloom.train
    monkeypatch.setattr(textloom, "train", lambda *overrides: train(*overrides, *SHRUNK))
    names: dict[str, Any] = {}
    exec(blocks[1][1], names)
    assert names["run"].results["val/loss"] > 0


def test_the_readmes_results_are_those_of_the_tutorials_table() -> None:
    text = README.read_text(encoding="utf-8")
    loss, accuracy = (float(value) for value in re.findall(r"^val/(?:loss|accuracy): ([\d.]+)$", text, re.MULTILINE))
    assert f"| `tutorial_char` | windows of 10 | 8.4 | {loss:.3f} | {100 * accuracy:.1f} % |" in text
    sample = text.partition("```\ndeep learning")[2].partition("\n\n")[0]
    assert f"deep learning {' '.join(sample.split())}"[:40] in text.partition("## The two tutorials")[2]


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (README.parent / "Makefile").read_text(encoding="utf-8")
    for line in commands():
        if line.startswith("make "):
            assert re.search(rf"^{line.split()[1]}:", makefile, re.MULTILINE), line


def test_every_file_that_the_readme_points_to_exists() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README.read_text(encoding="utf-8"))
    for link in links:
        assert link.startswith("https://") or (README.parent / link).exists(), link
