"""A real TensorBoard shows curves, samples and hyper-parameters beside their results."""

import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import compose_train, train_run
from textloom.data.encoding import load_splits
from textloom.reports.events import read_curves
from textloom.runs import Run
from textloom.training.tensorboard import hyperparameters


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    outputs = tmp_path_factory.mktemp("outputs")
    return [train_run(outputs / f"units={units}", f"model.units={units}", "optimizer.beta1=0.8") for units in (4, 8)]


@pytest.fixture(scope="module")
def address(runs: list[Run]) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    logdir = runs[0].directory.parent
    command = [
        sys.executable,
        "-m",
        "tensorboard.main",
        "--logdir",
        str(logdir),
        "--port",
        str(port),
        "--load_fast=false",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        url = f"http://127.0.0.1:{port}/data/plugin"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if len(ask(f"{url}/scalars/tags")) == len(runs):
                    break
            except OSError:
                pass
            time.sleep(0.2)
        yield url
        server.terminate()


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def test_each_run_is_there_once_under_its_directorys_name(address: str, runs: list[Run]) -> None:
    tags = ask(f"{address}/scalars/tags")
    assert set(tags) == {run.directory.name for run in runs}
    for run in runs:
        assert {"train/loss", "val/loss", "val/bits_per_char", "train/targets_per_second"} <= set(
            tags[run.directory.name]
        )


def test_generated_samples_are_text(address: str, runs: list[Run]) -> None:
    name = runs[0].directory.name
    assert ask(f"{address}/text/tags")[name] == ["samples/text_summary"]
    request = f"{address}/text/text?run={name.replace('=', '%3D')}&tag=samples/text_summary"
    shown = ask(request)[-1]["text"]
    assert re.search(r"temperature 0\.5.*temperature 1\.0", shown, re.DOTALL)
    written = runs[0].samples_file.read_text().split("---\n")[1].split("\n")[0]
    assert written.split("&")[0].split("<")[0][:8] in shown


def test_hyperparameters_stand_beside_the_results(address: str, runs: list[Run]) -> None:
    experiment = ask(f"{address}/hparams/experiment", {"experimentName": ""})
    keys = {info["name"] for info in experiment["hparamInfos"]}
    assert {"model.units", "optimizer.beta1"} <= keys
    assert "data.kind" not in keys
    metrics = [info["name"]["tag"] for info in experiment["metricInfos"]]
    assert metrics == ["val/loss", "val/bits_per_char"]

    request = {
        "experimentName": "", "allowedStatuses": ["STATUS_SUCCESS", "STATUS_RUNNING", "STATUS_UNKNOWN"],
        "colParams": [{"metric": {"tag": tag}} for tag in metrics], "startIndex": 0, "sliceSize": 10,
    }  # fmt: skip
    groups = ask(f"{address}/hparams/session_groups", request)["sessionGroups"]
    found = {
        group["hparams"]["model.units"]: {m["name"]["tag"]: m["value"] for m in group["metricValues"]}
        for group in groups
    }
    assert set(found) == {4, 8}
    for run in runs:
        results = run.results()
        for metric, value in found[run.config().model.units].items():
            assert value == pytest.approx(results[metric], rel=1e-6)


def test_training_and_validation_share_a_chart(address: str) -> None:
    layout = ask(f"{address}/custom_scalars/layout")
    charts = {
        chart["title"]: chart["multiline"]["tag"] for category in layout["category"] for chart in category["chart"]
    }
    assert charts["loss (nats per target)"] == ["train/loss", "val/loss"]
    written = set(ask(f"{address}/scalars/tags")["units=4"])
    assert {tag for tags in charts.values() for tag in tags} <= written


def test_targets_are_counted_along_the_steps(runs: list[Run]) -> None:
    for run in runs:
        targets = read_curves(run, ("train/targets",))["train/targets"].values
        assert list(targets) == sorted(targets)
        assert targets[-1] == load_splits(run.tokens)["train"].targets  # one epoch


def test_a_counting_run_is_shown_like_any_other(tmp_path: Path) -> None:
    run = train_run(tmp_path / "ngram", "experiment=ngram")
    curves = read_curves(run, ("val/loss",))
    assert curves["val/loss"].values == pytest.approx([run.results()["val/loss"]])


def test_a_run_with_nothing_changed_shows_its_main_keys() -> None:
    config = compose_train("tokenizer=byte")
    assert hyperparameters(config, []) == {
        "data.kind": "toy",
        "tokenizer.level": "byte",
        "batching.kind": "stream",
        "model.cell": "lstm",
        "model.units": 128,
    }
    assert hyperparameters(config, ["tokenizer=byte", "+model.units=128", "name=x"]) == {
        "tokenizer": "byte",
        "model.units": 128,
    }


def test_one_event_file_a_run(runs: list[Run]) -> None:
    for run in runs:
        assert len(list(Path(run.directory).rglob("events.out.*"))) == 1
