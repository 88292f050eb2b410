"""Processes that torchrun or srun started, one for each device: one run, one voice, one end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from textloom.runs.run import Run

pytestmark = pytest.mark.slow

ARGUMENTS = [
    "train", "trainer.devices=2", "model.units=8", "samples.length=5", "trainer.batch_size=8", "trainer.max_epochs=1",
    "trainer.precision=32-true", "trainer.progress_bar=false", "hydra.run.dir=outputs/run",
]  # fmt: skip
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "textloom"]


def start(*command: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *command],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def assert_one_run(directory: Path, out: str) -> None:
    run = Run(directory)
    assert run.status()["status"] == "completed"
    assert out.count("val/loss: ") == 1
    assert len(list(directory.glob("events.*"))) == 1
    assert run.directory.joinpath("train.log").read_text().count("epoch 1, step") == 1
    assert [path.name for path in directory.parent.iterdir()] == [directory.name]


def test_torchrun(tmp_path: Path) -> None:
    with start(*TORCHRUN, *ARGUMENTS) as training:
        out, said = training.communicate(timeout=120)
    assert training.returncode == 0, said
    assert_one_run(tmp_path / "outputs/run", out)


def test_a_mistake_under_torchrun_is_reported_once(tmp_path: Path) -> None:
    with start(*TORCHRUN, *ARGUMENTS, "trainer.devices=3") as training:
        _, said = training.communicate(timeout=120)
    assert training.returncode != 0
    assert said.count("2 processes were started on 1 node(s); set trainer.devices=2 trainer.num_nodes=1") == 1


def test_srun(tmp_path: Path) -> None:
    """With the variables that srun sets; there is no Slurm here."""
    step = {
        "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "1", "SLURM_STEP_NODELIST": "localhost",
        "SLURM_JOB_ID": str(os.getpid()), "SLURM_STEP_ID": "0",
    }  # fmt: skip
    ranks = [
        start("-m", "textloom", *ARGUMENTS, SLURM_PROCID=str(rank), SLURM_LOCALID=str(rank), **step) for rank in (0, 1)
    ]
    answers = [rank.communicate(timeout=120) for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], answers
    assert answers[1] == ("", "")
    assert_one_run(tmp_path / "outputs/run", answers[0][0])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_rank_outlives_the_first(number: signal.Signals, tmp_path: Path) -> None:
    """Asked to stop, it writes a checkpoint first."""
    endless = ["trainer.max_epochs=100000", "trainer.early_stopping_patience=null"]
    with start("-m", "textloom", *ARGUMENTS, *endless) as training:
        run = Run(tmp_path / "outputs/run")
        deadline = time.monotonic() + 100
        while not run.checkpoint_file("last").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        children = Path(f"/proc/{training.pid}/task/{training.pid}/children").read_text().split()
        training.send_signal(number)
        _, said = training.communicate(timeout=60)
    assert len(children) == 1
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    if number == signal.SIGTERM:
        assert training.returncode == 75, said
        assert "stopped by SIGTERM; resume with" in said
        assert "Traceback" not in said
