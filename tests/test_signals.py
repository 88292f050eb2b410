"""Signals: exit status, messages and resuming of real processes, and the handlers of the caller."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from textloom.runs.checkpoints import read_checkpoint
from textloom.runs.run import Run
from textloom.training.signals import StopRequest

ARGUMENTS = [
    "model.units=8", "samples.length=5", "trainer.batch_size=4", "trainer.max_epochs=100000",
    "trainer.max_steps=100000", "trainer.early_stopping_patience=null", "hydra.run.dir=outputs/run",
]  # fmt: skip


def textloom(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "textloom", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_the_signal_handlers_of_the_caller_are_put_back() -> None:
    def own(*_: object) -> None:
        raise AssertionError

    before = signal.signal(signal.SIGUSR1, own)
    try:
        with StopRequest() as request:
            request.training = True
            with StopRequest() as inner:
                inner.training = True
                signal.raise_signal(signal.SIGUSR1)
            assert (request.received, inner.received) == (None, signal.SIGUSR1)
            signal.raise_signal(signal.SIGUSR1)
            assert request.received == signal.SIGUSR1
        assert signal.getsignal(signal.SIGUSR1) is own
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_sigterm_writes_a_checkpoint_from_which_resume_continues(tmp_path: Path) -> None:
    with textloom("train", *ARGUMENTS, cwd=tmp_path) as training:
        run = Run(tmp_path / "outputs/run")
        last = run.checkpoint_file("last")
        deadline = time.monotonic() + 60
        while not run.status().get("trained") and time.monotonic() < deadline:
            time.sleep(0.05)
        training.send_signal(signal.SIGTERM)
        _, said = training.communicate(timeout=60)
    assert training.returncode == 75, said
    assert "stopped by SIGTERM; resume with: textloom train resume=" in said
    assert "Traceback" not in said
    assert run.status()["status"] == "interrupted"

    more = read_checkpoint(last)["global_step"] + 20
    with textloom("train", "resume=latest", f"trainer.max_steps={more}", cwd=tmp_path) as resumed:
        _, said = resumed.communicate(timeout=60)
    assert resumed.returncode == 0, said
    assert "resuming from" in said
    assert run.status()["status"] == "completed"


def test_the_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    """Validation takes an hour here, and no checkpoint is written within it."""
    slow = ["trainer.val_check_interval=1", "samples.length=100000000", "samples.temperatures=[0]"]
    with textloom("train", *ARGUMENTS, *slow, cwd=tmp_path) as training:
        run = Run(tmp_path / "outputs/run")
        deadline = time.monotonic() + 60
        while not run.status().get("trained") and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(2)
        training.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert training.poll() is None
        training.send_signal(signal.SIGINT)
        began = time.monotonic()
        _, said = training.communicate(timeout=60)
    assert time.monotonic() - began < 40
    assert training.returncode not in (0, 2)
    assert run.status()["status"] == "interrupted", said
