"""Faults of the machine: a full disk, no memory, no permission. A clear error or a recovery, never half a run."""

import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from conftest import TINY, Answer, compose_train, train_run
from textloom.errors import RunError, TrainingError
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.runs.claim import claimed_run
from textloom.runs.run import Run
from textloom.training.train import train
from training.test_resume import BASE, assert_equal_runs, resume, start


def run_in_a_child(directory: Path, *overrides: str, largest_file: int) -> str:
    """Train in a process that may write no file larger than this, and return its last messages."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        message = "no error"
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
            with claimed_run(directory) as run:
                try:
                    train(compose_train(*overrides), run, [*overrides])
                except BaseException as error:
                    run.mark("failed", str(error))
                    raise
        except BaseException as error:
            message = f"{type(error).__name__}: {error}"
        finally:
            os.write(writer, message.encode()[:4000])
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as answer:
        return answer.read()


def test_a_full_disk_is_reported_and_the_run_resumes_when_there_is_room(tmp_path: Path) -> None:
    overrides = [*BASE, "model.units=64", "trainer.accelerator=cpu"]
    message = run_in_a_child(tmp_path / "run", *overrides, largest_file=60_000)
    assert message.startswith("RunError:")
    assert "cannot be written" in message
    assert "make room" in message
    run = Run(tmp_path / "run")
    assert run.status()["status"] == "failed"
    assert not run.results()
    assert not list(run.checkpoints.iterdir()), "no part of a checkpoint is left"
    assert_equal_runs(resume(tmp_path / "run"), start(tmp_path / "whole", overrides))


def test_a_disk_too_full_for_the_tokens_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTLOOM_CACHE", str(tmp_path / "cache"))
    message = run_in_a_child(tmp_path / "run", *TINY, largest_file=4_000)
    assert "cannot be written" in message
    assert not Run(tmp_path / "run").provenance_file.exists()


def test_a_directory_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"), claimed_run(tmp_path / "file/run"):
        pass


@pytest.mark.skipif(os.getuid() == 0, reason="the superuser may write everywhere")
def test_a_directory_without_write_permission_is_reported(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(RunError, match=r"cannot be written \(Permission denied\)"), claimed_run(tmp_path / "run"):
        pass


def test_a_read_only_data_file_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("deep learning " * 200)
    path.chmod(stat.S_IRUSR)
    run = train_run(tmp_path / "run", "data=text_files", "data.path=text.txt")
    assert run.results()["val/loss"] > 0


def test_a_full_shared_memory_is_no_obstacle(tmp_path: Path) -> None:
    """Batches are made in the training process: there are no workers that would share memory."""
    script = (
        "mount -t tmpfs -o size=4k tmpfs /dev/shm && (cat /dev/zero > /dev/shm/full; true) && "
        f"{sys.executable} -m textloom train {' '.join(TINY)} hydra.run.dir=run"
    )
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-m", "true"], capture_output=True).returncode:
        pytest.skip("this machine does not let a process mount a file system of its own")
    answer = subprocess.run([unshare, "-m", "sh", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert "No space left" in answer.stderr
    assert Run(tmp_path / "run").status()["status"] == "completed"


def test_tokens_deleted_in_the_middle_are_missed_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from textloom.training import module

    original = module.TrainingModule.training_step

    def delete(self: module.TrainingModule, batch: object, index: int) -> torch.Tensor:
        shutil.rmtree(tmp_path / "run/tokens", ignore_errors=True)
        return original(self, batch, index)  # type: ignore[arg-type]

    monkeypatch.setattr(module.TrainingModule, "training_step", delete)
    with pytest.raises(RunError, match=r"tokens of the .* split are missing"):
        train_run(tmp_path / "run")
    assert not Run(tmp_path / "run").results()


@pytest.mark.parametrize("batching", ["stream", "windows"])
def test_too_little_gpu_memory_names_what_to_lower(
    batching: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shortage(*arguments: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(RecurrentLanguageModel, "forward", shortage)
    time = "context=50" if batching == "windows" else "steps=64"
    with pytest.raises(
        TrainingError, match=rf"trainer\.batch_size=\d+, batching\.{time}.*halve trainer\.batch_size first"
    ):
        train_run(tmp_path / "run", f"batching={batching}")


def test_too_little_main_memory_names_what_to_lower(tmp_path: Path, command: Callable[..., Answer]) -> None:
    """Through the command: nothing has been trained, so nothing is left."""
    answer = command("train", *TINY, "model.units=20000000", "hydra.run.dir=run")
    assert answer.status == 2
    assert re.search(r"out of memory with trainer\.batch_size=\d+, batching\.steps=64, model\.units=2", answer.err)
    assert "a vocabulary of 35; halve trainer.batch_size first" in answer.err
    assert not (tmp_path / "run").exists()


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with claimed_run(tmp_path / "run"):
            os.write(writer, b"claimed")
            signal.pause()
    assert os.read(reader, 7) == b"claimed"
    with pytest.raises(RunError, match="another process is training this run"), claimed_run(tmp_path / "run", True):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with claimed_run(tmp_path / "run", resume=True) as run:
        assert run.status()["status"] == "running"
