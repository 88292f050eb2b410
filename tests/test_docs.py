"""The documentation agrees with the code."""

import re
import tomllib
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from torch import nn

import textloom
from conftest import Answer
from textloom.cli.command_line import INTERRUPTED
from textloom.config import CompareConfig, TrainConfig
from textloom.config.checking import config_directory
from textloom.config.keys import effects_of
from textloom.reports.figures import ENOUGH_FOR_COORDINATES, ENOUGH_FOR_IMPORTANCE
from textloom.reports.statistics import SIGNIFICANCE
from textloom.training.fitting import EXPLOSION

DOCS = Path(__file__).parents[1] / "docs"
RESUME, COMPARE = ((DOCS / name).read_text(encoding="utf-8") for name in ("resume.md", "compare.md"))


def test_the_keys_that_may_change_are_all_listed() -> None:
    listed = re.findall(r"`([a-z_.]+)`", RESUME.partition("## What may change")[2].partition("Any other key")[0])
    effects = effects_of(TrainConfig)
    may_change = {key for key, effect in effects.items() if effect.may_change_on_resume}
    below_another = {key for key in may_change if key.rpartition(".")[0] in may_change}
    assert sorted(may_change - below_another) == sorted(key for key in listed if "=" not in key)


def test_the_numbers_are_the_codes() -> None:
    assert f"exit status is {INTERRUPTED}" in RESUME
    assert EXPLOSION == 10
    assert "more than ten times" in RESUME


def test_comparing_is_described_as_it_is() -> None:
    formats = get_args(CompareConfig.model_fields["format"].annotation)
    told = COMPARE.partition("`format` is ")[2].partition(". The table")[0]
    assert tuple(re.findall(r"`(\w+)`", told)) == formats
    assert f"Below {SIGNIFICANCE:g} " in COMPARE
    assert (ENOUGH_FOR_COORDINATES, ENOUGH_FOR_IMPORTANCE) == (4, 10)
    assert "from four configurations on" in " ".join(COMPARE.split())
    assert "(Optuna, PED-ANOVA), from ten on" in " ".join(COMPARE.split())


def header(experiment: Path) -> str:
    """The comments at the beginning of a config, in one line."""
    lines = experiment.read_text(encoding="utf-8").splitlines()
    return " ".join(line.lstrip("# ") for line in lines[: lines.index("defaults:")])


def test_the_results_have_each_experiment_with_a_source_and_the_figures_that_its_file_expects() -> None:
    headers = {file.stem: header(file) for file in config_directory().glob("experiment/*.yaml")}
    page = (DOCS / "results.md").read_text(encoding="utf-8").partition("## Tables")[2].partition("\n## ")[0]
    found = re.findall(r"^\| `(\w+)`(.*)$", page, re.MULTILINE)
    rows = dict(found)
    assert len(rows) == len(found)
    for name, text in headers.items():
        assert ("Expected: " in text) == (name in rows), name
        if name in rows:
            assert re.search(r"\b(Source|Source and protocol|Source, recipe and protocol):", text), name
            assert re.search(r"\b[Pp]rotocol: ", text), name
            assert f"textloom train experiment={name}" in text, name
            figures = re.findall(r"\*\*([\d./]+)", rows[name])
            assert figures or "not run" in rows[name], name
            for figure in figures:
                assert re.search(rf"(?<![\d.]){re.escape(figure)}(?!\.?\d)", text), (name, figure)


def test_every_picture_exists_and_is_small() -> None:
    for page in DOCS.glob("*.md"):
        for name in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            assert (DOCS / name).stat().st_size < 300_000, name


def test_the_architecture_names_the_layers_and_files_that_exist() -> None:
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    package = DOCS.parent / "src/textloom"
    for file in re.findall(r"`([a-z_]+/[a-z_/]+\.py)`", page):
        assert (package / file).exists(), file
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    order = [sorted(re.findall(r"\w+", line.replace("(", "").replace(")", ""))) for line in layers]
    table = page.partition("## Layers")[2].partition("## ")[0]
    shown = [sorted(re.findall(r"`(\w+)`", row.split("|")[1])) for row in table.splitlines() if row.startswith("| `")]
    assert shown == [names for names in order if names != ["__main__"]]


def test_the_way_of_a_key_to_the_network_is_listed_in_full(
    command: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    section = (DOCS / "architecture.md").read_text(encoding="utf-8").partition("## From `model.units`")[2]
    listed = re.findall(r"^\| `([a-z_/]+\.py)`", section.partition("\n## ")[0], re.MULTILINE)
    package, stack, build = Path(textloom.__file__).parent, list[str](), nn.LSTM.__init__

    def recorded(module: nn.LSTM, *arguments: Any, **keywords: Any) -> None:
        if not stack:
            paths = [Path(frame.filename) for frame in traceback.extract_stack()]
            stack.extend(str(path.relative_to(package)) for path in paths if path.is_relative_to(package))
        build(module, *arguments, **keywords)

    monkeypatch.setattr(nn.LSTM, "__init__", recorded)
    sizes = ["model.units=8", "trainer.max_steps=1", "trainer.precision=32-true", "trainer.progress_bar=false"]
    assert command("train", *sizes, "samples.length=5").status == 0
    on_the_way = list(dict.fromkeys(stack))
    assert [file for file in listed if file in on_the_way] == on_the_way
    assert set(listed) - set(on_the_way) == {"config/arguments.py", "config/checking.py", "config/model.py"}
