"""A training that is killed with SIGKILL, again and again, at any moment, ends as the one that was not."""

import os
import random
import signal
import time
from functools import cache
from pathlib import Path

import pytest

from conftest import TINY, compose_train
from textloom.config import TrainConfig
from textloom.runs.claim import claimed_run
from textloom.runs.run import Run
from textloom.training.resume import resumed_config
from textloom.training.train import train
from training.test_resume import assert_equal_runs

KILLS = 24
OVERRIDES = [
    *TINY,
    "model.output_dropout=0.3",
    "trainer.accelerator=cpu",  # a process that has used a GPU cannot fork one that uses it
    "trainer.batch_size=8",
    "trainer.max_epochs=2",
    "trainer.deterministic=true",
    "trainer.log_every_n_steps=5",
    "trainer.val_check_interval=6",
    "trainer.checkpoint_every.steps=1",  # most of the time goes into writing checkpoints, and so do most of the kills
]


@cache
def config() -> TrainConfig:
    """Composed once, before the processes fork."""
    return compose_train(*OVERRIDES)


def train_in_a_child(directory: Path, give_up_after: float | None = None) -> bool:
    """Train or resume in a child process. Returns True if it finished before it was killed."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            resume = (directory / "status.json").exists()
            with claimed_run(directory, resume) as run:
                resumable = resume and run.config_file.exists()
                train(resumed_config(run, []) if resumable else config(), run, [])
                run.mark("completed")
            status = 0
        finally:
            os._exit(status)
    if give_up_after is not None:
        time.sleep(give_up_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0, "the training failed by itself"
    return not os.WIFSIGNALED(status)


@pytest.mark.timeout(600)
def test_a_run_killed_at_any_moment_resumes_and_equals_an_uninterrupted_one_bit_for_bit(tmp_path: Path) -> None:
    config()
    whole = tmp_path / "whole"
    began = time.monotonic()
    assert train_in_a_child(whole)
    duration = time.monotonic() - began

    moments = random.Random(0)
    kills, runs, resumed_at_work = 0, 0, 0
    while kills < KILLS:
        directory = tmp_path / f"run{runs}"
        runs += 1
        while not train_in_a_child(directory, moments.uniform(0.02, 0.5) * duration if kills < KILLS else None):
            kills += 1
            resumed_at_work += (directory / "checkpoints/last.ckpt").exists()
        assert_equal_runs(Run(directory), Run(whole))
    assert resumed_at_work >= KILLS / 2, "most kills came before there was anything to resume"
    print(
        f"{kills} kills survived, {resumed_at_work} of them with a checkpoint to go on from, {runs} runs bitwise equal"
    )
