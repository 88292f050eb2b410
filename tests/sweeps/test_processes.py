"""Trials in processes that are really killed, run too long, or are left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import TINY, Answer
from textloom.config import SweepConfig
from textloom.errors import ConfigError
from textloom.runs.run import Run
from textloom.sweeps.resources import shares

Command = Callable[..., Answer]
TINY_BUT_ITS_EPOCHS = [key for key in TINY if "max_epochs" not in key]
LONG = ["trainer.early_stopping_patience=null", "trainer.checkpoint_every.minutes=null"]

SIX = """
defaults: [default]
name: six
space:
  seed: range(1,7)
  trainer.max_epochs: 1
when:
  seed=3: {trainer.max_epochs: 6}       # long enough to be killed in the middle
  seed=4: {trainer.max_epochs: 100000}  # longer than its time
  seed=5: {optimizer.learning_rate: 1e38}
"""


def process_that_writes(path: Path) -> int | None:
    """The process whose standard output is this file, and not the test's own."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.readlink(entry / "fd/1") == str(path):
                    return int(entry.name)
            except OSError:
                continue
    return None


def kill_when_it_has_a_checkpoint(directory: Path, killed: list[int], over: threading.Event) -> None:
    while not killed and not over.wait(0.005):
        if (directory / "checkpoints/last.ckpt").exists():
            process = process_that_writes(directory / "train.log")
            if process is not None:
                os.kill(process, signal.SIGKILL)
                killed.append(process)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the process to kill in /proc")
@pytest.mark.parametrize("launcher", ["workers", pytest.param("subprocess", marks=pytest.mark.slow)])
def test_trials_that_raise_are_killed_or_take_too_long_run_again_and_no_others(
    command: Command, tmp_path: Path, launcher: str
) -> None:
    (tmp_path / "mine/sweep").mkdir(parents=True)
    (tmp_path / "mine/sweep/six.yaml").write_text(SIX)
    arguments = [
        "train", "-m", *TINY_BUT_ITS_EPOCHS, *LONG, f"hydra.searchpath=[file://{tmp_path}/mine]", "sweep=six",
        "sweep.parallel=2", f"sweep.launcher={launcher}", "sweep.trial_timeout=12", "trainer.batch_size=8",
        "trainer.accelerator=cpu",
    ]  # fmt: skip
    sweep = tmp_path / "outputs/sweeps/six"
    names = {
        1: "seed=1", 2: "seed=2", 3: "seed=3,trainer.max_epochs=6", 4: "seed=4,trainer.max_epochs=100000",
        5: "seed=5,optimizer.learning_rate=1e+38", 6: "seed=6",
    }  # fmt: skip
    killed: list[int] = []
    over = threading.Event()
    watch = threading.Thread(target=kill_when_it_has_a_checkpoint, args=(sweep / names[3], killed, over))
    watch.start()
    first = command(*arguments)
    over.set()
    watch.join()
    assert killed, first
    assert first.status == 1, first.err
    assert "6 trials: 3 completed, 3 failed" in first.out
    assert f"failed: {names[3]}\n  killed by SIGKILL" in first.out
    assert f"failed: {names[4]}\n  took longer than sweep.trial_timeout=12 seconds" in first.out
    assert f"failed: {names[5]}\n  DivergenceError: the training loss is" in first.out
    for number in (3, 4, 5):
        assert f"log: outputs/sweeps/six/{names[number]}/train.log" in first.out
    seen = {number: (sweep / names[number] / "status.json").stat().st_mtime_ns for number in (1, 2, 6)}

    second = command(*arguments)
    assert second.status == 1
    assert "6 trials: 4 completed, 2 failed" in second.out
    assert seen == {number: (sweep / names[number] / "status.json").stat().st_mtime_ns for number in (1, 2, 6)}
    assert "resuming from" in (sweep / names[3] / "train.log").read_text()
    assert (sweep / "table.txt").read_text() in second.out


def children_of(process: int) -> list[int]:
    return [int(name) for name in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for children in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_when_a_sweep_ends_its_children_end_and_it_says_what_was_not_run(
    command: Command, tmp_path: Path, number: signal.Signals
) -> None:
    arguments = [*TINY, *LONG, "trainer.max_epochs=100000", "seed=1,2,3", "sweep.launcher=subprocess", "sweep.name=s"]
    driver = [sys.executable, "-m", "textloom", "train", "-m", *arguments, "sweep.parallel=2"]
    with subprocess.Popen(driver, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as sweep:
        deadline = time.monotonic() + 90
        runs = [Run(tmp_path / f"outputs/sweeps/s/seed={seed}") for seed in (1, 2)]
        while time.monotonic() < deadline and not all(run.status().get("trained") for run in runs):
            time.sleep(0.05)
        children = children_of(sweep.pid)
        assert len(children) == 2
        sweep.send_signal(number)
        _, said = sweep.communicate(timeout=60)
    deadline = time.monotonic() + (20 if number == signal.SIGKILL else 0)
    while time.monotonic() < deadline and any(map(alive, children)):
        time.sleep(0.1)
    assert not any(map(alive, children))
    for run in runs:
        assert run.status()["status"] == "interrupted"
        assert run.checkpoint_file("last").exists()
    if number == signal.SIGINT:
        assert sweep.returncode == 75
        words = "stopped by SIGINT; not finished: seed=1; seed=2; seed=3; the same command continues the sweep"
        assert said.strip().splitlines()[-1] == words


def sweeping(**keys: object) -> SweepConfig:
    from omegaconf import OmegaConf

    from textloom.config.checking import config_directory

    values = OmegaConf.to_container(OmegaConf.load(config_directory() / "sweep/default.yaml"))
    assert isinstance(values, dict)
    return SweepConfig.model_validate({**values, **keys})


def test_cores_and_gpus_are_divided_among_parallel_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textloom.sweeps.resources.available_cores", lambda: 16)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [share.threads for share in shares(sweeping(), 99, "auto")] == [1] * 16
    assert [share.threads for share in shares(sweeping(), 3, "auto")] == [5] * 3
    assert [share.threads for share in shares(sweeping(parallel=4), 99, "auto")] == [4] * 4
    assert [share.threads for share in shares(sweeping(cpus_per_trial=8), 99, "auto")] == [8] * 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,3")
    eight = shares(sweeping(trials_per_gpu=4), 99, "auto")
    assert [share.environment["CUDA_VISIBLE_DEVICES"] for share in eight] == ["0", "3"] * 4
    assert [share.threads for share in eight] == [2] * 8
    assert [share.gpu for share in shares(sweeping(parallel=2), 99, "cpu")] == [None, None]
    with pytest.raises(ConfigError, match=r"sweep\.parallel=4: 2 GPU\(s\) with sweep\.trials_per_gpu=1 hold 2"):
        shares(sweeping(parallel=4), 99, "auto")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert [share.threads for share in shares(sweeping(parallel=1), 99, "cpu")] == [1]
