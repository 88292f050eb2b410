"""Two processes with half the batch each train as one with the whole: the same losses, checkpoints and resumes."""

import contextlib
import gc
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import TINY, Answer, compose_train
from textloom.errors import ConfigError, DataError, Interrupted, TrainingError
from textloom.runs.checkpoints import read_checkpoint
from textloom.runs.claim import claimed_run
from textloom.runs.run import Run
from textloom.system import devices
from textloom.system.placement import Placement, check_placement, placement
from textloom.training import worker
from textloom.training.callbacks.curves import Curves
from textloom.training.distributed.processes import Workers
from textloom.training.distributed.strategy import RankModule
from textloom.training.module import TrainingModule
from textloom.training.resume import resumed_config
from textloom.training.train import train
from training.test_resume import assert_equal_runs, curves, same

BASE = [
    *TINY,
    "model.output_dropout=0",
    "trainer.accelerator=cpu",
    "trainer.precision=32-true",
    "trainer.log_every_n_steps=1",
    "trainer.max_epochs=2",
    "seed=3",
]
TEXT = ["data=text_files", "data.path=text.txt", "data.documents=blank_line"]
KINDS = {
    "stream": ["batching.steps=50", "trainer.batch_size=7"],
    "stream, adaptive softmax": [
        "batching.steps=9", "trainer.batch_size=1", "tokenizer=word", "model.units=16",
        "model.softmax_cutoffs=[50,120]",
    ],
    "stream, accumulation": ["batching.steps=30", "trainer.batch_size=4", "trainer.accumulate_grad_batches=3"],
    "stream, a state of (rows, units)": ["batching.steps=50", "trainer.batch_size=7", "model=mingru", "model.layers=2"],
    "stream, random lengths": [
        "batching.steps=50", "batching.random_steps=true", "trainer.batch_size=7", "optimizer=sgd",
    ],
    "stream, rows of evaluation": ["batching.steps=50", "batching.evaluation_rows=5", "trainer.batch_size=16"],
    "windows, ragged": ["batching=windows", "batching.context=8", "batching.stride=9", "trainer.batch_size=100"],
    "windows, a last batch of one": [*TEXT, "batching=windows", "batching.stride=67", "trainer.batch_size=7"],
    "documents": [*TEXT, "batching=documents", "batching.steps=16", "trainer.batch_size=3"],
    "documents, averaged weights": [
        *TEXT, "batching=documents", "batching.steps=70", "trainer.batch_size=2", "trainer.weight_averaging=0.9",
    ],
}  # fmt: skip


def fork() -> int:
    """As os.fork; what earlier tests left is never collected in the child, where the threads that it has are gone."""
    gc.collect()
    child = os.fork()
    if child == 0:
        gc.freeze()
    return child


class Forked:
    """A rank in a fork of this process: as real as one that imports torch for six seconds, and there at once."""

    def __init__(self, rank: int, place: Placement, stderr: int):
        self.returncode: int | None = None
        theirs, ours = os.pipe()
        self.stdin = os.fdopen(ours, "wb")
        self.pid = fork()
        if self.pid == 0:
            os.close(ours)
            os.dup2(theirs, 0)
            os.dup2(stderr, 2)
            sys.stderr = os.fdopen(2, "w")
            sys.stdin = os.fdopen(0)
            sys.argv = ["worker", str(rank), str(place.size), str(place.port)]
            status = 1
            try:
                worker.main()
            except SystemExit as end:
                status = int(str(end.code))
            finally:
                sys.stderr.flush()
                os._exit(status)
        os.close(theirs)

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("rank", seconds)
            time.sleep(0.01)

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


@pytest.fixture
def _forked(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: Workers, rank: int) -> None:
        self.stderr.append(tempfile.TemporaryFile())  # noqa: SIM115
        self.processes.append(Forked(rank, self.place, self.stderr[-1].fileno()))  # type: ignore[arg-type]

    monkeypatch.setattr(Workers, "_start", start)


@pytest.fixture(autouse=True)
def _text(tmp_path: Path) -> None:
    blocks = [f"document {i} " + "learns of deep networks " * (1 + i % 4) for i in range(20)]
    (tmp_path / "text.txt").write_text("\n\n".join(blocks))


def start(directory: Path, *overrides: str) -> Run:
    with claimed_run(directory) as run:
        train(compose_train(*BASE, *overrides), run, list(overrides))
        run.mark("completed")
    return run


def resume(directory: Path, *overrides: str) -> Run:
    with claimed_run(directory, resume=True) as run:
        train(resumed_config(run, list(overrides)), run, list(overrides))
        run.mark("completed")
    return run


def doubled(overrides: list[str]) -> list[str]:
    return [
        f"trainer.batch_size={2 * int(one.partition('=')[2])}" if one.startswith("trainer.batch_size") else one
        for one in overrides
    ]


@pytest.mark.usefixtures("_forked")
@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_equal_one_with_the_doubled_batch(kind: str, tmp_path: Path) -> None:
    two = start(tmp_path / "two", *KINDS[kind], "trainer.devices=2")
    one = start(tmp_path / "one", *doubled(KINDS[kind]))
    ours, theirs = curves(two), curves(one)
    assert ours.keys() == theirs.keys()
    assert len(ours["train/loss"]) >= 4
    for name in ("train/loss", "train/gradient_norm", "val/loss", "val/accuracy"):
        assert [step for step, _ in ours[name]] == [step for step, _ in theirs[name]]
        assert [value for _, value in ours[name]] == pytest.approx([value for _, value in theirs[name]], abs=1e-5)
    assert two.results()["val/loss"] == pytest.approx(one.results()["val/loss"], abs=1e-5)
    assert two.results()["steps"] == one.results()["steps"]


@pytest.mark.usefixtures("_forked")
def test_a_checkpoint_of_two_processes_holds_the_state_of_all_rows_in_their_order(tmp_path: Path) -> None:
    common = ["batching.steps=50", "trainer.max_steps=6"]
    two = start(tmp_path / "two", "trainer.devices=2", "trainer.batch_size=6", *common)
    one = start(tmp_path / "one", "trainer.batch_size=12", *common)
    ours, theirs = (read_checkpoint(run.checkpoint_file("last"))["recurrent_state"] for run in (two, one))
    for mine, yours in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, yours, atol=1e-5, rtol=0)


@pytest.mark.usefixtures("_forked")
def test_a_learned_initial_state_gets_the_gradient_of_all_ranks_and_stays_equal_on_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With plain SGD, whose steps are as large as the gradient; most batches continue a document or reach one rank."""
    trained: list[list[torch.Tensor]] = []

    def gathered(self: TrainingModule) -> None:
        assert self.model.first_state is not None
        parts = [part.detach().clone() for part in self.model.first_state.parameters()]
        trained.extend(self.ranks.gather(parts) if isinstance(self, RankModule) else [parts])

    monkeypatch.setattr(TrainingModule, "on_train_end", gathered)
    learned = [
        *KINDS["documents"], "model.learned_initial_state=true", "optimizer=sgd", "optimizer.learning_rate=1",
        "trainer.weight_averaging=null",
    ]  # fmt: skip
    start(tmp_path / "two", *learned, "trainer.devices=2")
    start(tmp_path / "one", *doubled(learned))
    first, second, alone = trained
    for ours, theirs, expected in zip(first, second, alone, strict=True):
        assert torch.equal(ours, theirs)
        assert expected.abs().max() > 1e-3
        torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)


def test_one_run_directory_with_one_of_everything(tmp_path: Path) -> None:
    """The ranks here are the processes that users get."""
    run = start(tmp_path / "run", "trainer.devices=2", "trainer.batch_size=8", "model.output_dropout=0.2")
    alone = start(tmp_path / "alone", "trainer.batch_size=16", "model.output_dropout=0.2")
    assert len(list(run.directory.glob("events.*"))) == 1
    names = [{path.name for path in one.directory.rglob("*") if "events" not in path.name} for one in (run, alone)]
    assert names[0] == names[1]
    assert run.samples_file.read_text().count("--- step") == alone.samples_file.read_text().count("--- step")


RESUMED = ["trainer.devices=2", "model.output_dropout=0.3", "trainer.deterministic=true"]
RESUMED_KINDS = {kind: KINDS[kind] for kind in ("stream", "stream, a state of (rows, units)", "documents")} | {
    "documents, each read twice": [*KINDS["documents"], "trainer.consistency_regularization=1"],
}


@pytest.mark.usefixtures("_forked")
@pytest.mark.parametrize("kind", RESUMED_KINDS)
def test_two_processes_resumed_equal_two_never_stopped(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dropout, of which each rank draws its own, and stopped by a signal in the middle of an epoch."""
    whole = start(tmp_path / "whole", *RESUMED_KINDS[kind], *RESUMED)
    original = RankModule.training_step

    def stopped(self: RankModule, batch: Any, index: int) -> torch.Tensor:
        if self.ranks.rank == 0 and self.global_step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(RankModule, "training_step", stopped)
        with pytest.raises(Interrupted):
            start(tmp_path / "part", *RESUMED_KINDS[kind], *RESUMED)
    checkpoint = read_checkpoint(tmp_path / "part/checkpoints/last.ckpt")
    assert checkpoint["global_step"] == 4
    (generators,) = [state for name, state in checkpoint["callbacks"].items() if name.startswith("RandomState")]
    assert not same(generators["torch"], generators["other_ranks"][0]["torch"])
    assert_equal_runs(resume(tmp_path / "part"), whole)


@pytest.mark.usefixtures("_forked")
def test_a_lost_rank_ends_a_process_that_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole command ends, its run marked as failed, where rank 0 would not notice for long."""
    from textloom.training.distributed import processes

    monkeypatch.setattr(processes, "SECONDS_TO_FAIL", 0.2)

    def validation_ends(self: Curves, trainer: Any, module: RankModule) -> None:
        if module.ranks.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(100)

    monkeypatch.setattr(Curves, "on_validation_end", validation_ends)
    child = fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            start(tmp_path / "run", "trainer.devices=2", "trainer.batch_size=8")
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 2
    found = Run(tmp_path / "run").status()
    assert (found["status"], found["error"]) == (
        "failed", "rank 1 was killed by SIGKILL; checkpoints written before are good",
    )  # fmt: skip


def fails_at_step_2(how: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    original = RankModule.training_step

    def step(self: RankModule, batch: Any, index: int) -> torch.Tensor:
        if self.ranks.rank == 1 and self.global_step == 2:
            how()
        return original(self, batch, index)

    monkeypatch.setattr(RankModule, "training_step", step)


def out_of_luck() -> None:
    raise RuntimeError("out of luck")


@pytest.mark.usefixtures("_forked")
@pytest.mark.parametrize(
    ("how", "message"),
    [
        (out_of_luck, "rank 1: out of luck"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "rank 1 was killed by SIGKILL"),
    ],
)
def test_a_rank_that_fails_ends_all_with_its_own_message(
    how: Callable[[], None], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails_at_step_2(how, monkeypatch)
    with pytest.raises(TrainingError, match=message) as caught:
        start(tmp_path / "run", "trainer.devices=2", "trainer.batch_size=8")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.usefixtures("_forked")
def test_a_divergence_is_reported_once_and_rolled_back_by_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = RankModule.training_step
    done: list[int] = []

    def diverge_once(self: RankModule, batch: Any, index: int) -> torch.Tensor:
        loss = original(self, batch, index)
        if self.global_step == 3 and not done and self.ranks.rank == 1:
            done.append(1)
            self.meter._batches[-1].loss = torch.tensor(float("nan"))
        return loss

    monkeypatch.setattr(RankModule, "training_step", diverge_once)
    overrides = ["trainer.devices=2", "trainer.batch_size=8", "trainer.max_epochs=3"]
    with pytest.raises(TrainingError, match="the training loss is nan at step 3"):
        start(tmp_path / "stopped", *overrides)
    run = start(tmp_path / "run", *overrides, "trainer.on_nan=rollback")
    assert read_checkpoint(run.checkpoint_file("last"))["rate"] == 0.5


@pytest.mark.usefixtures("_forked")
def test_each_job_of_a_sweep_trains_on_two_devices(command: Callable[..., Answer], tmp_path: Path) -> None:
    given = [*BASE, "trainer.devices=2", "trainer.batch_size=8", "hydra.sweep.dir=outputs/sweep"]
    answer = command("train", "-m", *given, "model.units=3,4")
    assert answer.status == 0, answer.err
    found = {Run(path.parent).results()["parameters"] for path in tmp_path.glob("outputs/sweep/*/results.json")}
    assert len(found) == 2


# --- what cannot work is refused in one line ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["batching.steps=5", "trainer.batch_size=4000", "trainer.devices=2"], "too few for 8000 rows"),
        ([*TEXT, "batching=windows", "batching.stride=100000", "trainer.devices=50"], "too few for 50 devices"),
        ([*TEXT, "batching=documents", "trainer.devices=50"], "documents, too few for 50 devices"),
    ],
)
def test_too_little_text_for_the_devices(
    overrides: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Workers, "_start", lambda *_: None)
    monkeypatch.setattr(devices, "PROCESSES_PER_CORE", 50)
    with pytest.raises(DataError, match=message):
        start(tmp_path / "run", *overrides)


def test_more_gpus_than_there_are() -> None:
    with pytest.raises(ConfigError, match=r"trainer\.devices=99: this machine has \d+ GPU\(s\); set trainer\.devices="):
        devices.check_devices(99, torch.device("cuda"))


def test_far_more_processes_than_cores_are_refused_before_they_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"trainer\.devices=9999: this machine has \d+ CPU core\(s\); set trainer\."):
        start(tmp_path / "run", "trainer.devices=9999")


def test_several_nodes_need_torchrun_or_srun(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="start one for each device with torchrun or srun"):
        start(tmp_path / "run", "trainer.num_nodes=2")


def test_slurm_and_torchrun_say_which_rank_this_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert placement() is None
    step = {
        "SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_NUM_NODES": "2", "SLURM_PROCID": "5", "SLURM_LOCALID": "1",
        "SLURM_STEP_NODELIST": "gpu[07-08]", "SLURM_JOB_ID": "4123456", "SLURM_STEP_ID": "2",
    }  # fmt: skip
    for name, value in step.items():
        monkeypatch.setenv(name, value)
    found = placement()
    assert found == Placement(5, 8, 1, 4, "gpu07", 15000 + 4123458 % 20000)
    check_placement(found, devices=4, num_nodes=2)
    with pytest.raises(ConfigError, match=r"set trainer\.devices=4 trainer\.num_nodes=2"):
        check_placement(found, devices=1, num_nodes=1)
