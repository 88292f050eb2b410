"""A real TensorBoard shows curves, samples and hyper-parameters beside their results."""

import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from conftest import compose_train, train_run
from tensorboards import ask, tensorboard
from textloom.config import TrainConfig
from textloom.config.compose import compose
from textloom.data.encoding import load_splits
from textloom.reports.events import read_curves
from textloom.runs.run import Run
from textloom.training.tensorboard import hyperparameters, trial_name


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Runs that differ in keys of every type, of which each has some null or in another choice of their group."""
    outputs = tmp_path_factory.mktemp("outputs")
    given = {
        "units=4": ["model.units=4", "optimizer.beta1=0.8"],
        "units=8": ["model.units=8", "optimizer.learning_rate=0.01", "trainer.weight_averaging=0.9", "seed=3"],
        "ngram": ["experiment=ngram"],
        "tied": ["model.units=4", "model.embedding_dim=4", "model.tied_weights=true", "optimizer=sgd"],
        "windows": ["model.units=4", "batching=windows", "batching.context=5", "trainer.batch_size=512"],
    }
    return [train_run(outputs / name, *keys) for name, keys in given.items()]


@pytest.fixture(scope="module")
def address(runs: list[Run]) -> Iterator[str]:
    with tensorboard(runs[0].directory.parent, len(runs)) as url:
        yield url


def test_each_run_is_there_once_under_its_directorys_name(address: str, runs: list[Run]) -> None:
    tags = ask(f"{address}/scalars/tags")
    assert set(tags) == {run.directory.name for run in runs}
    for run in runs[:2]:
        assert {"train/loss", "val/loss", "val/bits_per_char", "train/targets_per_second"} <= set(
            tags[run.directory.name]
        )


def test_generated_samples_are_text(address: str, runs: list[Run]) -> None:
    name = runs[0].directory.name
    assert sorted(ask(f"{address}/text/tags")[name]) == [
        "results/text_summary", "samples/memorization/text_summary", "samples/text_summary",
    ]  # fmt: skip
    shown = ask(f"{address}/text/text?run={quote(name)}&tag=samples/text_summary")[-1]["text"]
    assert re.search(r"temperature 0\.5.*temperature 1\.0", shown, re.DOTALL)
    (first,) = re.findall(r"step \d+, (\d+) characters, temperature 0.5 ---", runs[0].samples_file.read_text())
    written = runs[0].samples_file.read_text().partition("---\n")[2][: int(first)]
    assert f"<pre><code>{escape(written)}</code></pre>" in shown


def experiment_of(address: str) -> dict[str, Any]:
    found: dict[str, Any] = ask(f"{address}/hparams/experiment", {"experimentName": ""})
    return found


def session_groups(address: str, **column: Any) -> list[dict[str, Any]]:
    """The rows of the HParams tab, sorted by a column where one is given."""
    columns = [{"hparam": info["name"]} for info in experiment_of(address)["hparamInfos"] if not column]
    columns += [{"metric": {"tag": tag}} for tag in ("best/bits_per_char", "best/loss")]
    request = {
        "experimentName": "", "allowedStatuses": ["STATUS_SUCCESS", "STATUS_RUNNING", "STATUS_UNKNOWN"],
        "colParams": [column, *columns] if column else columns, "startIndex": 0, "sliceSize": 100,
    }  # fmt: skip
    groups: list[dict[str, Any]] = ask(f"{address}/hparams/session_groups", request)["sessionGroups"]
    return groups


def test_hyperparameters_stand_beside_the_results(address: str, runs: list[Run]) -> None:
    experiment = experiment_of(address)
    metrics = [info["name"]["tag"] for info in experiment["metricInfos"]]
    assert metrics[:2] == ["best/bits_per_char", "best/loss"]  # the tab shows the first few
    groups = {group["sessions"][0]["name"]: group for group in session_groups(address)}
    assert set(groups) == {run.directory.name for run in runs}
    for run in runs:
        found = {metric["name"]["tag"]: metric["value"] for metric in groups[run.directory.name]["metricValues"]}
        for name in ("bits_per_char", "loss"):
            assert found[f"best/{name}"] == pytest.approx(run.results()[f"val/{name}"], rel=1e-6)


def test_every_key_that_differs_is_a_column_whatever_was_trained_first(address: str, runs: list[Run]) -> None:
    infos = {info["name"]: info for info in experiment_of(address)["hparamInfos"]}
    differing = {
        "model.units", "optimizer.beta1", "optimizer.learning_rate", "seed", "model.tied_weights", "model.cell",
        "batching.kind", "optimizer.kind",
    }  # fmt: skip
    assert {name for name, info in infos.items() if info.get("differs")} >= differing
    assert not infos["model.layers"].get("differs")
    assert not {"name", "trainer.progress_bar", "samples.length", "trainer.checkpoint_every.minutes"} & set(infos)
    groups = {group["sessions"][0]["name"]: group["hparams"] for group in session_groups(address)}
    assert {name: found.get("model.units") for name, found in groups.items()} == {
        "units=4": 4, "units=8": 8, "ngram": None, "tied": 4, "windows": 4,
    }  # fmt: skip
    assert {name: found["seed"] for name, found in groups.items()}["units=8"] == 3
    assert groups["units=4"]["optimizer.learning_rate"] == pytest.approx(runs[0].config().optimizer.learning_rate)
    assert groups["ngram"]["model.cell"] == "ngram"


def test_a_column_has_one_type_and_sorts_with_what_is_null_at_one_end(address: str) -> None:
    infos = experiment_of(address)["hparamInfos"]
    types = {info["name"]: info["type"] for info in infos}
    assert types["trainer.weight_averaging"] == types["optimizer.momentum"] == "DATA_TYPE_FLOAT64"
    assert types["model.tied_weights"] == "DATA_TYPE_BOOL"
    assert types["optimizer.kind"] == "DATA_TYPE_STRING"
    python_types = {"DATA_TYPE_FLOAT64": (int, float), "DATA_TYPE_BOOL": (bool,), "DATA_TYPE_STRING": (str,)}
    for info in (info for info in infos if info.get("differs") or info["type"] == "DATA_TYPE_BOOL"):
        for order in ("ORDER_ASC", "ORDER_DESC"):
            rows = session_groups(address, hparam=info["name"], order=order)
            values = [row["hparams"].get(info["name"]) for row in rows]
            assert len(values) == 5
            given = [value for value in values if value is not None]
            assert all(type(value) in python_types[info["type"]] for value in given), info["name"]
            assert given == sorted(given, reverse=order == "ORDER_DESC"), info["name"]
            missing = [place for place, value in enumerate(values) if value is None]
            ends = (list(range(len(missing))), list(range(len(values) - len(missing), len(values))))
            assert missing in ends, info["name"]


def test_time_series_opens_on_curves_and_all_results_are_a_table(address: str, runs: list[Run]) -> None:
    tags = ask(f"{address}/scalars/tags")
    for run in runs:
        written = sorted(tags[run.directory.name])
        assert [tag for tag in written if tag.startswith("best/")] == written[:2]
        results = ask(f"{address}/text/text?run={quote(run.directory.name)}&tag=results/text_summary")[-1]["text"]
        assert f"{run.results()['test/loss']:.6g}" in results


def test_training_and_validation_share_a_chart(address: str) -> None:
    layout = ask(f"{address}/custom_scalars/layout")
    charts = {
        chart["title"]: chart["multiline"]["tag"] for category in layout["category"] for chart in category["chart"]
    }
    assert charts["loss (nats per target)"] == ["train/loss", "val/loss"]
    written = set(ask(f"{address}/scalars/tags")["units=4"])
    assert {tag for tags in charts.values() for tag in tags} <= written


def test_targets_are_counted_along_the_steps(runs: list[Run]) -> None:
    for run in runs[:2]:
        targets = read_curves(run, ("train/targets",))["train/targets"].values
        assert list(targets) == sorted(targets)
        assert targets[-1] == load_splits(run.tokens)["train"].targets  # one epoch


def test_a_counting_run_is_shown_like_any_other(runs: list[Run]) -> None:
    run = runs[2]
    curves = read_curves(run, ("val/loss",))
    assert curves["val/loss"].values == pytest.approx([run.results()["val/loss"]])


def test_every_run_has_the_same_keys_with_the_same_types() -> None:
    composed = [
        compose_train(*keys)
        for keys in (["trainer.weight_averaging=null"], ["tokenizer=byte", "model=gru"], ["optimizer=adamw"])
    ]
    shown = [hyperparameters(config) for config in composed]
    texts = [{key for key, value in each.items() if isinstance(value, str)} for each in shown]
    assert texts[0] == texts[1] == texts[2]
    types: dict[str, set[type]] = {}
    for each in shown:
        for key, value in each.items():
            types.setdefault(key, set()).add(type(value))
    assert all(len(found) == 1 for found in types.values())
    assert shown[0]["model.layers"] == composed[0].model.layers
    assert shown[0]["schedule.kind"] == composed[0].schedule.kind
    assert "trainer.max_steps" not in shown[0]  # a number that is null
    assert shown[0]["data.path"] == "null"  # text that is null
    assert not {"name", "resume"} & set(shown[0])


def test_runs_differ_in_the_first_characters_of_their_names(tmp_path: Path) -> None:
    config = compose_train()
    place = str(compose("train", TrainConfig).directory)
    assert re.fullmatch(rf"outputs/{config.name}/\d{{6}}-\d{{6}}_\d{{6}}", place)
    assert len(place.removeprefix("outputs/").rpartition("_")[0]) <= 30  # what the list of runs shows, seconds included
    names = [trial_name(tmp_path / name) for name in ("261126-171805_225098", "261126-171806_000001")]
    assert names[0][:14] != names[1][:14]
    assert trial_name(tmp_path / "model.units=4,optimizer.learning_rate=0.1").startswith("4,0.1 model.units=4,")
    assert trial_name(tmp_path / "a" / "b" / "run") != trial_name(tmp_path / "c" / "b" / "run")


def test_the_best_so_far_is_a_curve_that_never_rises(runs: list[Run]) -> None:
    curves = read_curves(runs[0], ("best/loss", "val/loss"))
    assert list(curves["best/loss"].values) == list(np.minimum.accumulate(curves["best/loss"].values))
    assert curves["best/loss"].values[-1] == pytest.approx(runs[0].results()["val/loss"])


def test_one_event_file_a_run(runs: list[Run]) -> None:
    for run in runs:
        assert len(list(Path(run.directory).rglob("events.out.*"))) == 1


def test_the_curves_of_a_resumed_run_are_read_without_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from training.test_resume import resume

    run = train_run(tmp_path / "run", "model.units=4")
    resume(run.directory, ["trainer.max_epochs=2"])  # its points replace the results that the first part ended with
    caplog.clear()
    steps = read_curves(run, ("val/loss",))["val/loss"].steps
    assert list(steps) == sorted(set(steps))
    assert not caplog.messages
