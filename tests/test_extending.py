"""Every example of docs/extending.md works as it is printed."""

import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import REGISTRIES, Answer
from textloom.config import CELLS
from textloom.config.data import SOURCES
from textloom.config.tokenizer import TOKENIZERS
from textloom.runs.run import Run

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"\*\*`(mine/[^`]+)`\*\*\n\n```\w+\n(.*?)```", PAGE, re.DOTALL))
MODULES = [Path(name).stem for name in FILES if name.endswith(".py")]
SHRUNK = ["trainer.max_epochs=1", "trainer.max_steps=2", "samples.length=5", "trainer.progress_bar=false"]


def blocks(language: str) -> list[str]:
    named = re.sub(r"\*\*`[^`]+`\*\*\n\n```\w+\n.*?```", "", PAGE, flags=re.DOTALL)
    return re.findall(rf"```{language}\n(.*?)```", named, re.DOTALL)


def commands(program: str) -> list[str]:
    return [line for block in blocks("sh") for line in block.splitlines() if line.startswith(f"{program} ")]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_registries: None) -> Iterator[Path]:
    """The files of the page, and the inputs of its commands."""
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "genes.txt").write_text("".join(f"ACGT{bin(number)[2:]:>8}GATTACA\n" for number in range(40)))
    with sqlite3.connect(tmp_path / "notes.db") as database:
        database.execute("CREATE TABLE notes (id INTEGER, body TEXT)")
        rows = [(number, f"note {number}: a network, or two, learns from {number} texts") for number in range(40)]
        database.executemany("INSERT INTO notes VALUES (?, ?)", rows)
    monkeypatch.delenv("TEXTLOOM_PLUGINS", raising=False)
    for registry in REGISTRIES:
        assert not {"mgu", "kmer", "sqlite", "nadam"} & set(registry._configs)
    monkeypatch.syspath_prepend(tmp_path / "mine")
    yield tmp_path
    for module in MODULES:
        sys.modules.pop(module, None)


@pytest.fixture
def environment(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported = dict(line.removeprefix("export ").split("=") for line in commands("export"))
    assert exported.keys() == {"PYTHONPATH", "TEXTLOOM_PLUGINS"}
    assert sorted(exported["TEXTLOOM_PLUGINS"].split(",")) == sorted(MODULES)
    monkeypatch.setenv("TEXTLOOM_PLUGINS", exported["TEXTLOOM_PLUGINS"])


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("section", re.findall(r"^## (.*)", PAGE, re.MULTILINE))
def test_the_commands_of_each_section_run(command: Callable[..., Answer], section: str) -> None:
    text = PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0]
    for line in (line for line in commands("textloom") if line in text):
        _, name, *arguments = shlex.split(line)
        answer = command(name, *arguments, *(SHRUNK if name == "train" else []))
        assert answer.status == 0, f"{line}\n{answer.err}"
        assert answer.out


def test_a_package_registers_by_its_entry_points(
    workplace: Path, command: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tomllib.loads(FILES["mine/pyproject.toml"])["project"]
    installed = workplace / "mine/textloom_extras-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    groups = (
        f"[{group}]\n" + "".join(f"{name} = {module}\n" for name, module in entries.items())
        for group, entries in project["entry-points"].items()
    )
    (installed / "entry_points.txt").write_text("\n".join(groups))
    answer = command("train", "model=mgu", "model.units=4", *SHRUNK)
    assert answer.status == 0, answer.err
    assert {"mgu", "kmer", "sqlite"} <= {*CELLS.names, *TOKENIZERS.names, *SOURCES.names}


@pytest.mark.usefixtures("environment")
def test_the_python_of_a_notebook_runs() -> None:
    (code,) = blocks("python")
    names: dict[str, object] = {}
    exec(code, names)
    assert "mgu" in str(names["run"].config.model)  # type: ignore[attr-defined]


def test_the_sampling_option_is_a_change_of_two_files(
    workplace: Path, toy_run: Run, command: Callable[..., Answer]
) -> None:
    (patch,) = blocks("diff")
    files = re.findall(r"^\+\+\+ b/(.*)", patch, re.MULTILINE)
    assert [Path(name).name for name in files] == ["generation.py", "sampling.py"]
    for name in ("src", "conf", "scripts"):
        shutil.copytree(ROOT / name, workplace / name, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["git", "apply", "-"], input=patch, text=True, cwd=workplace, check=True)
    (line,) = commands("python")
    _, script, _, *arguments = shlex.split(line)
    assert arguments[-1] == "epsilon_cutoff=0.02"

    given = [f"run={toy_run.directory}", *arguments[:-1], "length=20", "seed=0"]
    told = {**os.environ, "PYTHONPATH": str(workplace / "src")}
    changed = [sys.executable, script, *given, "epsilon_cutoff=0.999999"]
    done = subprocess.run(changed, cwd=workplace, env=told, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == command("generate", *given, "temperature=0").out  # only the likeliest token is left
