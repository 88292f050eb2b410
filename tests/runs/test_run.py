"""The status of a run directory, and the checkpoints that are asked for."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Answer, train_run
from textloom.errors import RunError
from textloom.runs.claim import claimed_run
from textloom.runs.find import find_run
from textloom.runs.run import Run
from textloom.system.files import read_json, write_json

SLOT = 0.05


def test_the_time_of_all_processes_is_counted(tmp_path: Path) -> None:
    for worked in range(3):
        with claimed_run(tmp_path / "run", resume=worked > 0) as run:
            assert worked * SLOT <= run.seconds_worked < worked * SLOT + 5
            time.sleep(SLOT)
            run.mark("interrupted")
    assert run.seconds_worked >= 3 * SLOT


def test_the_time_of_a_killed_process_counts_until_its_last_checkpoint(tmp_path: Path) -> None:
    with claimed_run(tmp_path / "run") as run:
        time.sleep(SLOT)
        run.mark_progress()
        time.sleep(SLOT)  # and is killed: the status still says that it is running
    worked = run.seconds_worked
    assert worked >= SLOT
    assert run.status()["status"] == "interrupted"
    time.sleep(SLOT)  # in which nobody works
    with claimed_run(run.directory, resume=True):
        assert run.seconds_worked == worked


def test_a_run_of_an_earlier_version_has_the_time_of_its_last_process(tmp_path: Path) -> None:
    run = Run(tmp_path)
    write_json(run.status_file, {"status": "completed", "trained": True})
    write_json(run.results_file, {"duration_seconds": 12.5})
    assert run.seconds_worked == 12.5
    with claimed_run(tmp_path, resume=True):
        pass
    assert read_json(run.status_file)["seconds"] == pytest.approx(12.5, abs=0.5)


def test_a_best_checkpoint_that_was_deleted_is_missing(tmp_path: Path, command: Callable[..., Answer]) -> None:
    run = train_run(tmp_path / "run", "experiment=ngram")
    run.checkpoint_file("best").unlink()
    with pytest.raises(RunError, match=r"run: checkpoints/best\.ckpt is missing; set checkpoint=last, or resume with"):
        find_run(str(run.directory), tmp_path)
    answer = command("evaluate", f"run={run.directory}")
    assert answer.status == 2
    assert "checkpoints/best.ckpt is missing" in answer.err
    for file in (run.results_file, run.samples_file):
        file.unlink()
    with pytest.raises(RunError, match="no best checkpoint yet"):
        find_run(str(run.directory), tmp_path)
