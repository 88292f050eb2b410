"""Loggers beside TensorBoard get the same points and the same hyper-parameters, and never end a training."""

import csv
import logging
import os
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning.loggers import CSVLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from conftest import TINY, Answer, compose_train, train_run
from textloom.config import TrainConfig
from textloom.config.arguments import hydra_arguments
from textloom.errors import ConfigError, RunError, TrainingError
from textloom.runs.run import Run
from textloom.system.files import read_json
from textloom.training import loggers as module
from textloom.training import train as training
from textloom.training.loggers import check_loggers
from textloom.training.tensorboard import hyperparameters
from training.test_resume import resume


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], ("tensorboard",)),
        (["logger=csv"], ("tensorboard", "csv")),
        (["logger=[csv,tensorboard,csv]"], ("tensorboard", "csv")),
        (["logger='tensorboard, mlflow'"], ("tensorboard", "mlflow")),
        (["logger=wandb,csv"], ("tensorboard", "wandb", "csv")),
    ],
)
def test_tensorboard_is_always_the_first(given: list[str], expected: tuple[str, ...]) -> None:
    assert compose_train(*given).logger == expected


@pytest.mark.parametrize("sweep", [[], ["-m"]])
def test_commas_join_loggers_and_make_no_sweep(sweep: list[str]) -> None:
    assert hydra_arguments([*sweep, "logger=tensorboard,csv"], TrainConfig) == [*sweep, "logger='tensorboard,csv'"]
    assert hydra_arguments([*sweep, "logger='mlflow, csv'"], TrainConfig) == [*sweep, "logger='mlflow, csv'"]
    assert hydra_arguments([*sweep, "logger=[mlflow,csv]"], TrainConfig) == [*sweep, "logger=[mlflow,csv]"]


@pytest.mark.parametrize("value", ["tensorbord", "null", "tensorboard,mlfow"])
def test_an_unknown_logger_is_refused_in_one_line(value: str, command: Callable[..., Answer]) -> None:
    status, _, said = command("train", *TINY, f"logger={value}")
    assert status == 2
    assert said.startswith("logger")
    assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_package_that_is_missing_is_named_with_the_command_that_installs_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda package: None)
    check_loggers(("tensorboard", "csv"))
    with pytest.raises(ConfigError, match=rf"logger={name}: .* pip install 'textloom\[{name}\]'"):
        train_run(tmp_path / "run", f"logger={name}")


# --- the same points ------------------------------------------------------------------------------------------------


def points(run: Run) -> dict[str, dict[int, float]]:
    """Tag -> step -> value, as TensorBoard has them: of several points at one step the last."""
    events = EventAccumulator(str(run.directory)).Reload()
    return {tag: {one.step: one.value for one in events.Scalars(tag)} for tag in events.Tags()["scalars"]}


def csv_points(run: Run, version: int = 0) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {}
    with (run.directory / "csv" / f"version_{version}" / "metrics.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            for tag, value in row.items():
                if value and tag != "step":
                    found.setdefault(tag, {})[int(row["step"])] = float(value)
    return found


def assert_same_points(found: dict[str, dict[int, float]], run: Run) -> None:
    expected = points(run)
    assert found.keys() == expected.keys()
    for tag, values in expected.items():
        assert found[tag] == pytest.approx(values, rel=1e-6)


def test_csv_files_have_the_points_of_tensorboard(tmp_path: Path) -> None:
    run = train_run(tmp_path / "run", "logger=csv", "trainer.max_epochs=2", "trainer.log_every_n_steps=2")
    assert_same_points(csv_points(run), run)
    written = (run.directory / "csv" / "version_0" / "hparams.yaml").read_text()
    assert all(f"{key}: " in written for key in hyperparameters(run.config()))
    before = csv_points(run)
    resume(run.directory, ["trainer.max_epochs=3", "logger=csv"])
    assert csv_points(run) == before
    assert min(csv_points(run, 1)["val/loss"]) >= max(before["val/loss"])
    assert read_json(run.loggers_file) == {"csv": "1"}


def test_an_ngram_model_has_them_too(tmp_path: Path) -> None:
    run = train_run(tmp_path / "run", "experiment=ngram", "logger=csv")
    assert_same_points(csv_points(run), run)


@pytest.mark.slow
def test_mlflow_has_the_points_of_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    run = train_run(tmp_path / "260101-120000", "logger=mlflow", "trainer.log_every_n_steps=2")
    client = mlflow.MlflowClient((tmp_path / "store").as_uri())
    (experiment,) = [one for one in client.search_experiments() if one.name == "tiny"]
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "260101-120000"
    assert found.data.tags["run_directory"] == str(run.directory)
    assert found.data.params == {key: str(value) for key, value in hyperparameters(run.config()).items()}
    tags = found.data.metrics
    assert_same_points(
        {tag: {one.step: one.value for one in client.get_metric_history(found.info.run_id, tag)} for tag in tags}, run
    )
    resume(run.directory, ["trainer.max_epochs=2"])
    (again,) = client.search_runs([experiment.experiment_id])  # the same run goes on
    assert again.data.metrics["val/loss"] == pytest.approx(run.results()["val/loss"])


def wandb_records(file: Path) -> Iterator[Any]:
    """The records of W&B's file, which has the format of LevelDB's log after a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, whole, place = file.read_bytes(), b"", 7
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:  # too few bytes for a header end a block
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        whole, place = whole + data[place + 7 : place + 7 + length], place + 7 + length
        if kind in (1, 4):  # a whole record, or the last of its parts
            yield Record.FromString(whole)
            whole = b""


@pytest.mark.slow
def test_wandb_has_the_points_of_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    streams, environment = (sys.stdout, sys.stderr), dict(os.environ)
    run = train_run(tmp_path / "260101-120000", "logger=wandb", "trainer.log_every_n_steps=2")
    assert (sys.stdout, sys.stderr) == streams
    assert set(os.environ) - set(environment) == set()
    (file,) = Path("wandb").glob("offline-run-*/*.wandb")
    found: dict[str, dict[int, float]] = {}
    for record in wandb_records(file):
        if record.HasField("run"):
            assert (record.run.display_name, record.run.run_group) == ("260101-120000", "tiny")
        values = {item.key or item.nested_key[0]: float(item.value_json) for item in record.history.item}
        for tag in values.keys() - {"trainer/global_step"}:
            if not tag.startswith("_"):
                found.setdefault(tag, {})[int(values["trainer/global_step"])] = values[tag]
    assert_same_points(found, run)


# --- failures -------------------------------------------------------------------------------------------------------


def test_a_logger_that_cannot_be_opened_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: Any) -> None:
        raise ConnectionError("no answer\nin many lines")

    monkeypatch.setitem(module._OPENED_BY, "csv", fail)
    with pytest.raises(TrainingError, match=r"logger=csv: cannot be opened \(no answer\); leave it out"):
        train_run(tmp_path / "run", "logger=csv")


def test_a_logger_that_fails_later_ends_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(self: CSVLogger, metrics: dict[str, float], step: int | None = None) -> None:
        raise ConnectionError("the server is gone")

    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(CSVLogger, "log_metrics", fail)
    run = train_run(tmp_path / "run", "logger=csv")
    assert caplog.text.count("logger=csv: failed (the server is gone)") == 1
    assert points(run)["val/loss"]


def test_loggers_are_told_how_a_training_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(module, "_close", lambda logger, status, shares: told.append(status))
    with pytest.raises(TrainingError):
        train_run(tmp_path / "run", "logger=csv", "optimizer=sgd", "optimizer.learning_rate=1e30")
    train_run(tmp_path / "another", "logger=csv")
    assert told == ["failed", "success"]


def test_loggers_are_closed_if_the_best_checkpoint_cannot_be_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(run: Run) -> None:
        raise RunError("best.ckpt: damaged")

    closed: list[str] = []
    monkeypatch.setattr(module, "_close", lambda logger, status, shares: closed.append(status))
    monkeypatch.setattr(training, "evaluate_run", fail)
    with pytest.raises(RunError, match="damaged"):
        train_run(tmp_path / "run", "logger=csv")
    assert closed == ["failed"]
