"""A dry run: every trial checked and priced, nothing trained."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import TINY, Answer, compose_train
from textloom.config import TrainConfig
from textloom.models.recurrent import RecurrentLanguageModel, parameter_count
from textloom.runs.run import Run
from textloom.sweeps import estimate
from textloom.training.trial_step import TrialStep

Command = Callable[..., Answer]


def test_a_dry_run_tells_parameters_steps_and_time_and_trains_nothing(
    command: Command, tmp_path: Path, toy_run: Run
) -> None:
    answer = command("train", "-m", *TINY, "model.units=8,32", "trainer.max_epochs=3,6", "sweep.dry_run=true")
    assert answer.status == 0, answer.err
    assert not (tmp_path / "outputs").exists()
    rows = [line.split() for line in answer.out.splitlines()[1:5]]
    assert [row[-1] for row in rows] == [
        f"model.units={units},trainer.max_epochs={epochs}" for units in (8, 32) for epochs in (3, 6)
    ]
    results = toy_run.results()  # 32 units, 3 epochs
    assert rows[2][:2] == [f"{results['parameters']:,}", str(results["steps"])]
    small = RecurrentLanguageModel(compose_train("model.units=8").model, int(results["vocabulary_size"]))
    assert rows[0][0] == f"{parameter_count(small):,}"
    assert int(rows[1][1]) == 2 * int(rows[0][1])
    assert re.search(r"4 trials, about 0:0\d of training one after the other on this machine", answer.out)


def test_a_step_is_timed_for_each_value_of_a_key_that_decides_its_time(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: list[tuple[float, int | None]] = []

    class Noted(TrialStep):
        def __init__(self, config: TrainConfig, *others: Any):
            timed.append((config.trainer.consistency_regularization, config.trainer.softmax_samples))
            super().__init__(config, *others)

    monkeypatch.setattr(estimate, "TrialStep", Noted)
    keys = ["trainer.consistency_regularization=0,1", "trainer.softmax_samples=null,20", "seed=1,2"]
    answer = command("train", "-m", *TINY, "model.output_dropout=0.3", *keys, "sweep.dry_run=true")
    assert answer.status == 0, answer.err
    assert sorted(timed, key=str) == [(0.0, 20), (0.0, None), (1.0, 20), (1.0, None)]


def test_the_edges_of_a_sampled_space_are_checked_and_their_cost_is_estimated(command: Command) -> None:
    keys = ["model.units=int(interval(4,64))", "tokenizer=char,word", "sweep.n_trials=20"]
    answer = command("train", "-m", *TINY, *keys, "sweep.dry_run=true")
    assert answer.status == 0, answer.err
    assert "model.units=64,tokenizer=char" in answer.out
    assert "model.units=4,tokenizer=word" in answer.out
    assert "20 trials, about" in answer.out
    wrong = command("train", "-m", *TINY, "model.units=int(interval(-4,64))", "sweep.n_trials=20")
    assert (wrong.status, wrong.err.count("\n")) == (2, 1)
    assert "model.units=-4: must be greater than 0" in wrong.err


def test_a_text_that_cannot_be_read_shows_in_the_dry_run(command: Command) -> None:
    keys = ["data=text_files", "data.path=nowhere.txt", "seed=1,2"]
    answer = command("train", "-m", *TINY, *keys, "sweep.dry_run=true")
    assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert "data.path=nowhere.txt: names no file" in answer.err
