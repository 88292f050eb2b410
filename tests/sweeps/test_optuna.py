"""Optuna chooses the trials: a total that is kept over calls, no suggestion twice, pruning, several goals."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import pytorch_lightning as pl
import torch

from conftest import TINY, Answer
from textloom.errors import Pruned
from textloom.runs.run import Run
from textloom.sweeps.job import Pruning
from textloom.sweeps.pruning import PruningCallback
from textloom.sweeps.storage import open_storage

Command = Callable[..., Answer]
SMALL = [*TINY, "trainer.batch_size=8", "sweep.name=s"]
RATE = "optimizer.learning_rate=tag(log,interval(1e-4,1e-1))"


def study(tmp_path: Path) -> optuna.Study:
    return optuna.load_study(study_name="s", storage=open_storage(str(tmp_path / "outputs/sweeps/s/study.journal")))


def test_n_trials_is_a_total_and_more_of_them_repeat_none(command: Command, tmp_path: Path) -> None:
    for total in (3, 5):
        answer = command("train", "-m", *SMALL, RATE, f"sweep.n_trials={total}")
        assert answer.status == 0, answer.err
        assert f"{total} trials: {total} completed" in answer.out
    rates = [trial.params["optimizer.learning_rate"] for trial in study(tmp_path).trials]
    assert len(set(rates)) == len(rates) == 5
    for path in (tmp_path / "outputs/sweeps/s").glob("*/results.json"):
        assert Run(path.parent).config().optimizer.learning_rate in {float(f"{rate:.4g}") for rate in rates}
    values = sorted(trial.value for trial in study(tmp_path).trials)
    results = [Run(path.parent).results() for path in (tmp_path / "outputs/sweeps/s").glob("*/results.json")]
    assert values == sorted(result["val/bits_per_char"] for result in results)


def test_pruned_trials_show_as_pruned_and_stay_so(command: Command, tmp_path: Path) -> None:
    arguments = ["train", "-m", *SMALL, "trainer.max_epochs=2", "optimizer.learning_rate=0.02,0.03,0.04,0.05,0.06,1e-9"]
    for _ in range(2):
        answer = command(*arguments, "sweep.pruner=median")
        assert answer.status == 0, answer.err
    pruned = [trial for trial in study(tmp_path).trials if trial.state is optuna.trial.TrialState.PRUNED]
    assert pruned
    assert f"6 trials: {6 - len(pruned)} completed, {len(pruned)} pruned" in answer.out
    assert " at validation 1" in answer.out
    assert len(study(tmp_path).trials) == 6
    for trial in pruned:
        run = Run(tmp_path / "outputs/sweeps/s" / trial.user_attrs["directory"])
        assert run.status()["status"] == "pruned"
        assert run.checkpoint_file("best").exists()
        assert len(trial.intermediate_values) == 1


@pytest.mark.parametrize("sampler", ["random", pytest.param("gp", marks=pytest.mark.slow), "cmaes"])
def test_every_sampler_searches_spaces_with_conditions(command: Command, tmp_path: Path, sampler: str) -> None:
    (tmp_path / "mine/sweep").mkdir(parents=True)
    (tmp_path / "mine/sweep/layers.yaml").write_text(
        "defaults: [default]\nname: s\nspace:\n  model.units: int(interval(3,6))\n  model.layers: 1,2\n"
        "  optimizer.learning_rate: tag(log,interval(0.001,0.1))\n"
        "when:\n  model.layers=2:\n    model.layer_dropout: interval(0.1,0.5)\n"
    )
    keys = [key for key in SMALL if not key.startswith(("sweep.name", "model.units"))]
    answer = command(
        "train", "-m", *keys, f"hydra.searchpath=[file://{tmp_path}/mine]", "sweep=layers", f"sweep.sampler={sampler}",
        "sweep.n_trials=12" if sampler == "gp" else "sweep.n_trials=4",
    )  # fmt: skip
    assert answer.status == 0, answer.err
    configs = [Run(path.parent).config() for path in (tmp_path / "outputs/sweeps/s").glob("*/results.json")]
    assert len(configs) == (12 if sampler == "gp" else 4)
    assert {config.model.layers for config in configs} == {1, 2}
    assert all((config.model.layer_dropout > 0) == (config.model.layers == 2) for config in configs)


def test_several_goals_give_all_that_no_other_beats(command: Command, tmp_path: Path) -> None:
    answer = command(
        "train", "-m", *SMALL, "model.units=4,16,8", "trainer.max_epochs=2", "sweep.sampler=tpe", "sweep.n_trials=9",
        "sweep.metric=[val/loss,parameters]",
    )  # fmt: skip
    assert answer.status == 0, answer.err
    assert "the search space is exhausted" in answer.err  # three points, however many are asked for
    best = {trial.params["model.units"] for trial in study(tmp_path).best_trials}
    assert answer.out.count("*  ") == len(best) > 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep.storage=sqlite:////no/where.db"], "sweep.storage=sqlite:////no/where.db: does not answer ("),
        (["sweep.storage=nosuchdb://me:secret@host/db"], "sweep.storage=nosuchdb://me@host/db: does not answer ("),
        (["sweep.storage=redis://127.0.0.1:1"], "sweep.storage=redis://127.0.0.1:1: does not answer ("),
        (["sweep.pruner=median", "sweep.metric=[val/loss,parameters]"], "sweep.pruner=median: prunes at validations"),
        (["sweep.sampler=cmaes", "sweep.metric=[val/loss,parameters]"], "sweep.sampler=cmaes: searches for one metric"),
    ],
)  # fmt: skip
def test_a_study_that_cannot_be_is_one_line(command: Command, arguments: list[str], message: str) -> None:
    answer = command("train", "-m", *SMALL, RATE, "sweep.n_trials=2", *arguments)
    assert answer.status == 2
    assert message in answer.err
    assert len(answer.err.strip().splitlines()) == 1, answer.err


def test_a_study_with_other_goals_or_choices_is_not_continued(command: Command) -> None:
    assert command("train", "-m", *SMALL, "seed=1,2,3", "sweep.n_trials=1").status == 0
    other = command("train", "-m", *SMALL, "seed=1,2,3", "sweep.n_trials=2", "sweep.metric=val/loss")
    assert (other.status, other.err.count("\n")) == (2, 1)
    assert "sweep.metric=val/loss: the study s was started with val/bits_per_char" in other.err
    more = command("train", "-m", *SMALL, "seed=1,2,3,4", "sweep.n_trials=2")
    assert (more.status, more.err.count("\n")) == (2, 1)
    assert "seed: the study was started with other choices" in more.err


def test_a_sqlite_database_serves_as_storage(command: Command, tmp_path: Path) -> None:
    storage = f"sweep.storage=sqlite:///{tmp_path}/study.db"
    answer = command("train", "-m", *SMALL, "seed=1,2", storage, "sweep.pruner=hyperband")
    assert answer.status == 0, answer.err
    loaded = optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path}/study.db")
    assert [trial.state.name for trial in loaded.trials] == ["COMPLETE", "COMPLETE"]


def test_a_killed_sweep_resumes_interrupted_trials_repeats_none_and_ends_at_n_trials(
    command: Command, tmp_path: Path
) -> None:
    slow = ["trainer.max_epochs=12", "trainer.early_stopping_patience=null"]
    arguments = ["-m", *SMALL, *slow, RATE, "sweep.n_trials=4"]
    killed = [sys.executable, "-m", "textloom", "train", *arguments]
    with subprocess.Popen(killed, cwd=tmp_path, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as sweep:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not _second_trial_has_begun(tmp_path):
            time.sleep(0.02)
        os.kill(sweep.pid, signal.SIGKILL)
    before = {trial.number: trial for trial in study(tmp_path).trials}
    cut = [trial for trial in before.values() if trial.state is optuna.trial.TrialState.RUNNING]
    assert len(cut) == 1
    answer = command("train", *arguments)
    assert answer.status == 0, answer.err
    assert "4 trials: 4 completed" in answer.out
    trials = study(tmp_path).trials
    complete = [trial for trial in trials if trial.state is optuna.trial.TrialState.COMPLETE]
    rates = [trial.params["optimizer.learning_rate"] for trial in complete]
    assert len(set(rates)) == len(rates) == 4
    assert cut[0].params["optimizer.learning_rate"] in rates
    assert len(trials) == 5  # the cut one has a second number
    directory = tmp_path / "outputs/sweeps/s" / cut[0].user_attrs["directory"]
    assert "resuming from" in (directory / "train.log").read_text()


def _second_trial_has_begun(tmp_path: Path) -> bool:
    """Far enough to have a checkpoint, while the first is over."""
    runs = [path.parent for path in tmp_path.glob("outputs/sweeps/s/*/status.json")]
    return len(runs) == 2 and all((run / "checkpoints/last.ckpt").exists() for run in runs)


class Module(pl.LightningModule):
    """As little as Lightning needs to validate."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        return (self.weight**2).sum()

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("val/loss", 1.0)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trial_of_a_bad_run(tmp_path: Path) -> Pruning:
    """Others were far better at each validation."""
    place = str(tmp_path / "study.journal")
    study = optuna.create_study(study_name="s", storage=open_storage(place))
    for _ in range(5):
        good = study.ask()
        for step in (0, 1, 2):
            good.report(0.1, step)
        study.tell(good, 0.1)
    return Pruning(place, "s", study.ask()._trial_id, "val/loss", "median")


def test_the_sanity_check_is_no_validation_to_prune_by(tmp_path: Path) -> None:
    callback = PruningCallback(trial_of_a_bad_run(tmp_path))
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(max_epochs=3, num_sanity_val_steps=1, callbacks=[callback], accelerator="cpu", **quiet)
    with pytest.raises(Pruned, match=r"val/loss 1\.0000 at validation 1"):
        trainer.fit(Module(), [torch.zeros(1)], [torch.zeros(1)])
    assert trainer.current_epoch == 0
    assert trainer.global_step == 1


@pytest.mark.slow
def test_two_ranks_prune_together(tmp_path: Path) -> None:
    """A rank that continued alone would wait for the other for ever; both must end, and each must report it."""
    pruning = trial_of_a_bad_run(tmp_path)
    script = tmp_path / "ranks.py"
    script.write_text(f"""
import json, os, sys
sys.path[:0] = {json.dumps([str(Path(__file__).parent), str(Path(__file__).parents[1])])}
import pytorch_lightning as pl, torch
from test_optuna import Module
from textloom.errors import Pruned
from textloom.sweeps.job import Pruning
from textloom.sweeps.pruning import PruningCallback
callback = PruningCallback(Pruning(*{(pruning.storage, pruning.study, pruning.trial, "val/loss", "median")!r}))
trainer = pl.Trainer(max_epochs=3, strategy="ddp", devices=2, accelerator="cpu", callbacks=[callback], logger=False,
    enable_checkpointing=False, enable_progress_bar=False, num_sanity_val_steps=0)
try:
    trainer.fit(Module(), *(torch.utils.data.DataLoader(torch.zeros(2, 1)) for _ in range(2)))
except Pruned as error:
    open(f"{tmp_path}/rank{{trainer.global_rank}}", "w").write(str(error))
""")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, script], cwd=tmp_path, env=environment, timeout=120, capture_output=True)
    assert [(tmp_path / f"rank{rank}").read_text() for rank in (0, 1)] == ["val/loss 1.0000 at validation 1"] * 2


@pytest.mark.parametrize("name", ["tutorial_char", "tutorial_patents"])
def test_the_shipped_search_spaces_run(command: Command, tmp_path: Path, name: str) -> None:
    rows = "".join(f'"A neural network, number {i}, learns.",2018-05-29,{i},Net\n' for i in range(30))
    (tmp_path / "FILE.csv").write_text("patent_abstract,patent_date,patent_number,patent_title\n" + rows)
    path = ["data.path=FILE.csv"] if name == "tutorial_patents" else []
    shrunk = ["trainer.max_epochs=1", "samples.length=5", "sweep.n_trials=1", "trainer.extra.limit_train_batches=2"]
    answer = command("train", "-m", f"sweep={name}", *path, *shrunk)
    assert answer.status == 0, answer.err
    (results,) = (tmp_path / "outputs/sweeps" / name).glob("*/results.json")
    assert Run(results.parent).config().name.startswith(name)
    assert Run(results.parent).config().batching.kind == ("windows" if name == "tutorial_char" else "documents")
