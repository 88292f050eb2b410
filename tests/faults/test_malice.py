"""Files that try to run code: nothing runs, and each is refused in one line."""

import importlib.util
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from conftest import compose_train
from textloom.data.encoding import load_splits
from textloom.errors import ConfigError, RunError, TextloomError
from textloom.evaluation.evaluate import evaluate_run
from textloom.runs.checkpoints import load_model
from textloom.runs.claim import claimed_run
from textloom.runs.run import RESUME_ORDER, Run
from textloom.system.files import read_json, write_checked_text, write_json
from textloom.training.resume import newest_checkpoint
from textloom.training.train import train


class Malice:
    """An object that runs code when it is unpickled."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return (Path.touch, (self.marker,))


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "code ran"


@pytest.fixture
def run(toy_run: Run, tmp_path: Path) -> Run:
    copy = Path(shutil.copytree(toy_run.directory, tmp_path / "run"))
    for path in copy.rglob("*.*"):
        path.chmod(0o644)  # tokens are read-only: runs share them
    return Run(copy)


def test_the_malice_of_these_tests_is_real(marker: Path) -> None:
    pickle.loads(pickle.dumps(Malice(marker)))
    assert marker.exists()


def test_a_checkpoint_runs_no_code(run: Run, marker: Path) -> None:
    for name in RESUME_ORDER:
        torch.save({"state_dict": {}, "x": Malice(marker)}, run.checkpoint_file(name))
    with pytest.raises(RunError, match="not a checkpoint of textloom"):
        load_model(run, "best")
    with pytest.raises(RunError, match="every checkpoint is damaged"):
        newest_checkpoint(run)
    assert not marker.exists()


def test_a_plain_pickle_runs_no_code_wherever_it_lies(run: Run, marker: Path) -> None:
    payload = pickle.dumps(Malice(marker))
    for path in [path for path in run.directory.rglob("*") if path.is_file()]:
        whole = path.read_bytes()
        path.write_bytes(payload)
        try:
            evaluate_run(run)
            load_splits(run.tokens)
        except TextloomError:
            pass
        path.write_bytes(whole)
        assert not marker.exists(), path


def test_an_array_of_objects_runs_no_code(run: Run, marker: Path) -> None:
    np.save(run.tokens / "val.npy", np.array([Malice(marker)], dtype=object), allow_pickle=True)
    (run.tokens / "val.npy").rename(run.tokens / "val.tokens")
    with pytest.raises(RunError, match="damaged"):
        load_splits(run.tokens)
    assert not marker.exists()


@pytest.mark.parametrize("place", ["", "model", "trainer", "data"])
def test_a_target_in_a_config_is_not_instantiated(place: str, run: Run, marker: Path) -> None:
    config = run.config().model_dump(mode="json", exclude={"resume"})
    section = config[place] if place else config
    section |= {"_target_": "pathlib.Path.touch", "_args_": [str(marker)]}
    write_checked_text(run.config_file, yaml.safe_dump(config))
    with pytest.raises(RunError, match=r"_args_: there is no such key"):
        run.config()
    assert not marker.exists()


@pytest.mark.parametrize("name", ["unasked", "unasked:Thing", "unasked.Thing"])
@pytest.mark.parametrize("key", ["model.cell", "tokenizer.level", "data.kind", "batching.kind", "optimizer.kind"])
def test_a_module_that_a_config_names_is_not_imported(
    key: str, name: str, run: Run, marker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unasked.py").write_text(f"open({str(marker)!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    assert importlib.util.find_spec("unasked") is not None
    config = run.config().model_dump(mode="json", exclude={"resume"})
    section, _, kind = key.partition(".")
    config[section][kind] = name
    write_checked_text(run.config_file, yaml.safe_dump(config))
    with pytest.raises(RunError, match=rf"config\.yaml: {section}.*{name}|config\.yaml: .*{section}"):
        run.config()
    assert not marker.exists()


@pytest.mark.parametrize("name", ["unasked", "unasked:Thing"])
def test_a_module_that_a_tokenizer_names_is_not_imported(
    name: str, run: Run, marker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unasked.py").write_text(f"open({str(marker)!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    assert importlib.util.find_spec("unasked") is not None
    write_json(run.tokenizer_file, {**read_json(run.tokenizer_file), "level": name})
    with pytest.raises(TextloomError, match=r"tokenizer\.json|level"):
        load_model(run, "best")
    assert not marker.exists()


def test_a_python_tag_in_a_config_is_not_heeded(run: Run, marker: Path) -> None:
    write_checked_text(run.config_file, f"name: !!python/object/apply:os.mkdir ['{marker}']\n")
    with pytest.raises(RunError, match=r"config\.yaml"):
        run.config()
    assert not marker.exists()


def test_extra_arguments_of_the_trainer_are_arguments_only(run: Run, marker: Path, tmp_path: Path) -> None:
    with (
        claimed_run(tmp_path / "new") as new,
        pytest.raises(ConfigError, match=r"trainer\.extra\._target_: not an argument"),
    ):
        train(compose_train("+trainer.extra._target_=pathlib.Path.touch", "name=x"), new, [])
    assert not marker.exists()
