"""Ray and Slurm: trials that are sent to machines which can go away."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import TINY, Answer
from sweeps.test_processes import process_that_writes
from textloom.runs.run import Run

Command = Callable[..., Answer]
SMALL = [*TINY, "trainer.batch_size=8", "sweep.name=s"]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "sweep.address=127.0.0.1:1: no Ray cluster answers ([Errno 111] Connection refused)"),
        ("auto", "sweep.address=auto: no Ray cluster answers (Could not find any running Ray instance"),
        ("nowhere", "sweep.address=nowhere: no Ray cluster answers ("),
    ],
)
def test_a_ray_address_that_does_not_exist_is_one_line(command: Command, address: str, message: str) -> None:
    pytest.importorskip("ray")
    answer = command("train", "-m", *SMALL, "seed=1,2", "sweep.launcher=ray", f"sweep.address={address}")
    assert answer.status == 2
    assert answer.err.startswith(message)
    assert len(answer.err.strip().splitlines()) == 1, answer.err


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two machines of one core each."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    yield cluster
    cluster.shutdown()


def parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def remove_the_second_node_in_the_middle_of_a_trial(cluster: Any, sweep: Path, removed: list[str]) -> None:
    node = next(node for node in cluster.list_all_nodes() if not node.head)
    raylets = {info.process.pid for info in node.all_processes["raylet"]}
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not removed:
        for last in sweep.glob("*/checkpoints/last.ckpt"):
            trial = last.parent.parent
            process = process_that_writes(trial / "train.log")
            if process is not None and parent(process) in raylets:
                removed.append(trial.name)
                cluster.remove_node(node, allow_graceful=False)
                return
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the trial to lose in /proc")
def test_a_ray_node_that_goes_away_loses_no_trial(command: Command, tmp_path: Path, cluster: Any) -> None:
    removed: list[str] = []
    sweep = tmp_path / "outputs/sweeps/s"
    arguments = (cluster, sweep, removed)
    watch = threading.Thread(target=remove_the_second_node_in_the_middle_of_a_trial, args=arguments)
    watch.start()
    slow = ["trainer.max_epochs=40", "trainer.early_stopping_patience=null", "trainer.batch_size=2"]
    answer = command(
        "train", "-m", *SMALL, *slow, "seed=1,2,3", "sweep.launcher=ray", f"sweep.address={cluster.address}"
    )
    watch.join()
    assert removed
    assert answer.status == 0, answer.err
    assert "3 trials: 3 completed" in answer.out
    assert "resuming from" in (sweep / removed[0] / "train.log").read_text()
    assert Run(sweep / removed[0]).results()


def test_submitit_runs_a_grid_with_a_failure_in_it(command: Command, tmp_path: Path) -> None:
    """Its local executor does what Slurm does, without one."""
    pytest.importorskip("submitit")
    answer = command(
        "train", "-m", *SMALL, "hydra/launcher=submitit_local", "optimizer=sgd", "optimizer.learning_rate=0.1,1e38",
        "sweep.parallel=2",
    )  # fmt: skip
    assert answer.status == 1, answer.err
    assert "2 trials: 1 completed, 1 failed" in answer.out
    assert "DivergenceError: the training loss is" in answer.out
    assert (
        "hydra.launcher" not in (tmp_path / "outputs/sweeps/s/optimizer.learning_rate=0.1/overrides.yaml").read_text()
    )


def test_slurm_where_there_is_none_is_one_line(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", os.defpath.replace("/usr/bin", "/nowhere").replace("/bin", "/nowhere"))
    answer = command("train", "-m", *SMALL, "hydra/launcher=submitit_slurm", "seed=1,2")
    assert answer.status == 2
    assert answer.err.startswith("hydra/launcher=submitit_slurm: Could not detect")
    assert len(answer.err.strip().splitlines()) == 1, answer.err
