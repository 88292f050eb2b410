"""Hydra with explicit arguments. These tests fail if a part of Hydra that textloom uses has changed."""

import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig

from conftest import Answer
from textloom.cli.hydra_app import parse, run_hydra
from textloom.errors import ConfigError

Command = Callable[..., Answer]
RUN = ["hydra.run.dir=run", "model.units=3"]


def refuse(config: DictConfig) -> None:
    raise AssertionError("the task was run")


@pytest.mark.parametrize(
    ("method", "keywords"),
    [
        ("create_main_hydra2", {"task_name", "config_search_path"}),
        ("compose_config", {"config_name", "overrides", "run_mode"}),
        ("run", {"config_name", "overrides", "task_function"}),
        ("multirun", {"config_name", "overrides", "task_function"}),
        ("show_cfg", {"config_name", "overrides", "cfg_type", "package", "resolve"}),
        ("show_info", {"config_name", "overrides"}),
        ("shell_completion", {"config_name", "overrides"}),
        ("hydra_help", {"config_name", "args_parser", "args"}),
    ],
)
def test_hydra_has_the_methods_that_are_called(method: str, keywords: set[str]) -> None:
    parameters = inspect.signature(getattr(Hydra, method)).parameters
    assert keywords <= set(parameters)
    needed = {name for name, parameter in parameters.items() if parameter.default is parameter.empty}
    assert needed - keywords <= {"self", "info"}


def test_a_task_gets_the_config_and_the_process_is_left_as_it_was(tmp_path: Path) -> None:
    seen: list[tuple[DictConfig, str, str]] = []

    def task(config: DictConfig) -> None:
        hydra = HydraConfig.get()
        seen.append((config, hydra.job.name, hydra.runtime.output_dir))

    before = sys.argv[:], dict(os.environ)
    run_hydra("train", RUN, task, sweeps=True)
    ((config, name, directory),) = seen
    assert (config.model.units, name, directory) == (3, "train", str(tmp_path / "run"))
    assert "hydra" not in config
    assert (sys.argv, dict(os.environ)) == before
    assert not GlobalHydra.instance().is_initialized()


def test_errors_are_raised_and_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(HydraException):
        run_hydra("train", [*RUN, "nowhere=1"], refuse, sweeps=True)
    assert capsys.readouterr() == ("", "")
    assert not GlobalHydra.instance().is_initialized()


def test_options_may_stand_between_overrides(command: Command) -> None:
    shown = command("train", "model.units=7", "--cfg", "job", "seed=5", "--package", "model")
    assert shown.out.startswith("# @package model\n")
    assert "units: 7" in shown.out
    everything = command("train", "model.units=7", "-c", "all", "--resolve", "seed=5")
    assert "\nseed: 5\n" in everything.out
    assert "mode: null" in everything.out


def test_information_help_and_completion_come_from_hydra(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (
        "model: lstm" in command("train", "--info", "defaults-tree").out + command("train", "-i", "defaults-tree").err
    )
    assert "--multirun,-m" in command("train", "--hydra-help").out
    monkeypatch.setenv("COMP_LINE", "python train.py model=")
    monkeypatch.setenv("COMP_POINT", "22")
    assert "model=lstm" in command("train", "-sc", "query=bash").out.split()


def test_a_directory_of_further_configs(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine/model").mkdir(parents=True)
    (tmp_path / "mine/model/small.yaml").write_text("cell: gru\nunits: 2\n")
    shown = command("train", "--config-dir", "mine", "model=small", "--cfg", "job", "-p", "model")
    assert "units: 2" in shown.out, shown.err
    missing = command("train", "--config-dir=nowhere", "--cfg", "job")
    assert missing.status == 2
    assert missing.err == "--config-dir=nowhere: there is no such directory; give one that exists\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cfg", "jbo"], "--cfg/-c: invalid choice: 'jbo'"),
        (["--config-dir"], "--config-dir/-cd: expected one argument"),
        (["-x"], "-x: there is no such option"),
        (["--cfg", "job", "-m"], "--multirun and --cfg: exclude each other"),
        (["--resolve"], "--resolve: has no effect without --cfg"),
    ],
)
def test_an_option_that_cannot_be_is_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(arguments)
    assert str(refused.value).startswith(message)
    assert len(str(refused.value).splitlines()) == 1


def test_only_train_runs_several_times(command: Command, tmp_path: Path) -> None:
    for mode in ("-m", "hydra.mode=MULTIRUN"):
        assert_refuses_several_runs(command("generate", mode, "run=."))
    assert not list(tmp_path.iterdir())
    (tmp_path / "mine.yaml").write_text("defaults: [generate, _self_]\nhydra: {mode: MULTIRUN}\n")
    assert_refuses_several_runs(command("generate", "--config-dir=.", "--config-name=mine", "run=."))


def assert_refuses_several_runs(answer: Answer) -> None:
    assert answer.status == 2
    assert answer.err.startswith("-m: only train runs several times; leave -m out")
    assert len(answer.err.splitlines()) == 1


@pytest.mark.parametrize("name", ["a${x}b", "${", "a${oc.env:HOME}"])
def test_a_working_directory_that_hydra_cannot_read_is_refused(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    for arguments in (["train"], ["evaluate", "run=."]):
        answer = command(*arguments)
        assert answer.status == 2
        assert (
            f"{name}: Hydra reads ${{ in the name of the working directory as an interpolation; rename it" in answer.err
        )
        assert len(answer.err.splitlines()) == 1
    assert not list((tmp_path / name).iterdir())
