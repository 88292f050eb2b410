"""A limit of time ends a training with a validation and results, and the next process trains on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import TINY, Answer, train_run
from textloom.config import TrainConfig
from textloom.runs.checkpoints import read_checkpoint
from textloom.runs.claim import claimed_run
from textloom.runs.run import Run
from textloom.sweeps.trials import Trial
from textloom.training.module import TrainingModule
from textloom.training.resume import resumed_config
from textloom.training.signals import StopRequest
from textloom.training.train import Trained, train
from training.test_resume import BASE, KINDS, compose_train, curves, same, start

__all__ = ["KINDS"]


@pytest.fixture
def time_is_up_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let the time be over once a step has begun, or once a number of steps is done."""
    steps_done = [0]
    original = TrainingModule.training_step

    def count(self: TrainingModule, batch: Any, index: int) -> torch.Tensor:
        steps_done[0] = self.global_step + 1
        return original(self, batch, index)

    def install(step: int) -> None:
        steps_done[0] = 0
        monkeypatch.setattr(TrainingModule, "training_step", count)
        monkeypatch.setattr(StopRequest, "time_is_up", property(lambda self: steps_done[0] >= step))

    return install


def train_as(directory: Path, config: TrainConfig, resume: bool) -> tuple[Run, Trained]:
    with claimed_run(directory, resume) as run:
        return run, train(config, run, [])


LIMIT = "trainer.max_time='00:01:00:00'"
NEVER = 10**9


@pytest.mark.parametrize(
    ("kind", "step"),
    [
        ("stream", 4), ("stream", 14), ("stream", 20), ("stream, plateau", 20), ("stream, validation in the epoch", 20),
        ("stream, validation in the epoch", 21), ("stream, accumulation", 7), ("stream, averaged weights", 20),
        ("windows", 5),
    ],
)  # fmt: skip
def test_the_next_process_continues_as_if_there_had_been_no_time_limit(
    kind: str, step: int, tmp_path: Path, time_is_up_at: Callable[[int], None]
) -> None:
    given = [*BASE, *KINDS[kind]]
    whole = start(tmp_path / "whole", given)
    time_is_up_at(step)
    run, trained = train_as(tmp_path / "run", compose_train(*given, LIMIT), resume=False)
    assert trained.stopped == f"trainer.max_time=00:01:00:00 is over, after {run.results()['steps']} steps"
    assert step <= run.results()["steps"] <= step + 1
    assert run.results()["val/loss"] == pytest.approx(min(loss for _, loss in curves(run)["val/loss"]), abs=1e-6)
    time_is_up_at(NEVER)
    run, trained = train_as(tmp_path / "run", resumed_config(run, []), resume=True)
    assert trained.stopped is None
    assert run.results()["steps"] == whole.results()["steps"]
    a, b = (read_checkpoint(each.checkpoint_file("last")) for each in (run, whole))
    for key in ("state_dict", "optimizer_states", "recurrent_state", "plateau"):
        assert same(a[key], b[key]), key
    assert set(curves(whole)["val/loss"][:-1]) <= set(curves(run)["val/loss"])
    assert run.results()["val/loss"] <= whole.results()["val/loss"]


def test_time_that_is_up_during_a_validation_needs_no_second(
    tmp_path: Path, time_is_up_at: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = start(tmp_path / "whole", BASE)
    validating: list[bool] = []
    monkeypatch.setattr(StopRequest, "time_is_up", property(lambda self: bool(validating)))
    monkeypatch.setattr(TrainingModule, "on_validation_start", lambda self: _begin(self, validating))
    run, trained = train_as(tmp_path / "run", compose_train(*BASE, LIMIT), resume=False)
    assert trained.stopped is not None
    assert len(validating) == 1
    assert run.results()["steps"] * 3 == whole.results()["steps"]


def _begin(module: TrainingModule, validating: list[bool]) -> None:
    from textloom.evaluation.evaluate import Tally

    validating.append(True)
    module.tally = Tally()


def test_a_stopped_run_says_how_to_resume_it_and_is_ranked(
    command: Callable[..., Answer], time_is_up_at: Callable[[int], None]
) -> None:
    given = ["trainer.extra.max_time=00:00:30:00", "trainer.max_epochs=3", "hydra.run.dir=outputs/run"]
    time_is_up_at(2)
    answer = command("train", *TINY, *given)
    assert answer.status == 0, answer.err
    run = Run(Path("outputs/run"))
    steps = run.results()["steps"]
    told = f"stopped: trainer.max_time=00:00:30:00 is over, after {steps} steps; resume with: textloom train resume="
    assert answer.out.strip().splitlines()[-1] == f"{told}outputs/run"
    assert run.status()["status"] == "stopped"
    ranked = command("compare", "runs=outputs").out
    assert "stopped by trainer.max_time, and perhaps not at their best: outputs/run" in ranked
    assert "not ranked" not in ranked
    trial = Trial(0, {}, run.directory, None, [])
    trial.read(["val/loss"])
    assert (trial.state, trial.values) == ("completed", (run.results()["val/loss"],))

    time_is_up_at(steps + 2)
    assert command("train", "resume=outputs/run", "trainer.max_time=00:10:00").status == 0
    assert run.results()["steps"] > steps
    time_is_up_at(NEVER)
    answer = command("train", "resume=latest", "trainer.max_time=null")
    assert (answer.status, run.status()["status"]) == (0, "completed"), answer.err
    assert run.config().trainer.time_limit is None


def test_an_hour_is_an_hour() -> None:
    for given, seconds in (("'01:00:00'", 3600), ("'02:01:00:05'", 2 * 86400 + 3605), ("null", None)):
        assert compose_train(f"trainer.max_time={given}").trainer.time_limit == seconds


def test_time_counts_from_the_start_of_the_command(tmp_path: Path) -> None:
    run = train_run(tmp_path / "run", "trainer.max_time='00:00:01'", "trainer.max_epochs=100000")
    assert run.results()["duration_seconds"] < 20
    assert run.results()["steps"] > 0
