"""An interrupted and resumed run equals an uninterrupted one, to the last bit."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer

from conftest import TINY, compose_train, train_run
from textloom.config import CELLS
from textloom.errors import ConfigError, Interrupted, RunError
from textloom.runs.checkpoints import read_checkpoint
from textloom.runs.claim import claimed_run
from textloom.runs.run import Run
from textloom.training.callbacks.progress import TrainingStage
from textloom.training.lightning_internals import EpochLoop
from textloom.training.module import TrainingModule
from textloom.training.resume import newest_checkpoint, resumed_config
from textloom.training.train import train

BASE = [
    *TINY,
    "model.layers=2",
    "model.layer_dropout=0.3",
    "model.output_dropout=0.3",
    "optimizer.learning_rate=0.003",
    "trainer.batch_size=8",
    "trainer.max_epochs=3",
    "trainer.deterministic=true",
    "trainer.log_every_n_steps=5",
]

# ends the names of event files, which TensorBoard sorts: of two files of one second 10 would come before 9
event_file_writer._global_uid = event_file_writer.AtomicCounter(1000)
COST = {
    "duration_seconds", "train/targets_per_second", "train/model_flops_per_second", "train/flop_utilisation",
    "train/peak_memory_bytes",
}  # fmt: skip


def start(directory: Path, overrides: list[str]) -> Run:
    with claimed_run(directory) as run:
        train(compose_train(*overrides), run, overrides)
        run.mark("completed")
    return run


def resume(directory: Path, overrides: list[str] | None = None) -> Run:
    with claimed_run(directory, resume=True) as run:
        train(resumed_config(run, overrides or []), run, overrides or [])
        run.mark("completed")
    return run


@pytest.fixture
def signal_at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Send this process a signal while it computes a step."""
    original = TrainingModule.training_step

    def install(*steps: int, number: signal.Signals = signal.SIGTERM) -> None:
        left = list(steps)

        def step(self: TrainingModule, batch: Any, index: int) -> torch.Tensor:
            if left and self.global_step >= left[0]:
                left.pop(0)
                os.kill(os.getpid(), number)
            return original(self, batch, index)

        monkeypatch.setattr(TrainingModule, "training_step", step)

    return install


def curves(run: Run) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(run.directory)).Reload()
    tags = [tag for tag in events.Tags()["scalars"] if tag not in COST]
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}


def same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, torch.Tensor):
        return torch.equal(ours, theirs)
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list | tuple):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return bool(ours == theirs)


def assert_equal_runs(ours: Run, theirs: Run) -> None:
    for name in ("best", "last"):
        a, b = (read_checkpoint(run.checkpoint_file(name)) for run in (ours, theirs))
        for key in ("state_dict", "optimizer_states", "lr_schedulers", "recurrent_state", "plateau", "global_step"):
            assert same(a[key], b[key]), (name, key)
        for callback in ("RandomState", "StopEarly"):
            (x,), (y,) = ([v for k, v in c["callbacks"].items() if k.startswith(callback)] for c in (a, b))
            assert same(x, y), (name, callback)
    a, b = ({k: v for k, v in run.results().items() if k not in COST} for run in (ours, theirs))
    assert a == b
    assert curves(ours) == curves(theirs)
    assert ours.samples_file.read_text() == theirs.samples_file.read_text()


KINDS = {
    "stream": ["batching=stream", "batching.steps=32"],
    "stream, cosine": ["batching=stream", "batching.steps=32", "schedule=cosine", "schedule.warmup_steps=10"],
    "stream, plateau": ["batching=stream", "batching.steps=32", "schedule=plateau"],
    "stream, validation in the epoch": ["batching=stream", "batching.steps=32", "trainer.val_check_interval=7"],
    "stream, accumulation": ["batching=stream", "batching.steps=32", "trainer.accumulate_grad_batches=3"],
    "stream, both": [
        "batching=stream", "batching.steps=32", "trainer.accumulate_grad_batches=3", "trainer.val_check_interval=0.25",
        "schedule=cosine",
    ],
    "stream, averaged weights": ["batching=stream", "batching.steps=32", "trainer.weight_averaging=0.9"],
    "stream, step": [
        "batching=stream", "batching.steps=32", "schedule=step", "schedule.constant_epochs=1",
        "trainer.val_check_interval=9",
    ],
    "stream, one cycle": ["batching=stream", "batching.steps=32", "schedule=onecycle"],
    "stream, muon": ["batching=stream", "batching.steps=32", "optimizer=muon", "trainer.weight_averaging=null"],
    "stream, ntasgd": [
        "batching=stream", "batching.steps=32", "optimizer=ntasgd", "optimizer.nonmonotone=1",
        "optimizer.learning_rate=20", "trainer.weight_averaging=null", "trainer.val_check_interval=5",
    ],
    "stream, everything of AWD-LSTM": [
        "batching=stream", "batching.steps=32", "batching.random_steps=true", "model=awd_lstm", "model.units=8",
        "model.tied_weights=true", "model.embedding_dim=6", "model.embedding_dropout=0.1", "optimizer=ntasgd",
        "optimizer.nonmonotone=1", "optimizer.learning_rate=3", "trainer.weight_averaging=null",
        "trainer.activation_regularization=2", "trainer.temporal_activation_regularization=1",
        "trainer.val_check_interval=5", "trainer.early_stopping_patience=100",
    ],
    "stream, random lengths, accumulation, cosine": [
        "batching=stream", "batching.steps=32", "batching.random_steps=true", "trainer.accumulate_grad_batches=3",
        "schedule=cosine", "schedule.warmup_steps=10",
    ],
    "stream, consistency and sampled words": [
        "batching=stream", "batching.steps=32", "trainer.consistency_regularization=1", "model.output_dropout=0.3",
        "trainer.softmax_samples=20",
    ],
    "windows": ["batching=windows", "batching.context=8", "batching.stride=20", "schedule=cosine"],
    "documents": [
        "data=text_files", "data.path=text.txt", "data.documents=blank_line", "tokenizer=word",
        "tokenizer.minimum_frequency=1", "batching=documents", "batching.singleton_dropout=0.5", "batching.steps=4",
        "trainer.val_check_interval=5", "trainer.batch_size=2",
    ],
}  # fmt: skip


@pytest.fixture(autouse=True)
def _text(tmp_path: Path) -> None:
    blocks = [f"document {i} " + "learns of deep networks " * (1 + i % 4) for i in range(40)]
    (tmp_path / "text.txt").write_text("\n\n".join(blocks))


needs_muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch has Muon from 2.9 on")


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=needs_muon if "muon" in kind else ()) for kind in KINDS])
@pytest.mark.parametrize("cuts", [(4,), (13, 31)], ids=["once", "twice"])
def test_resume_equals_never_stopped(
    kind: str, cuts: tuple[int, ...], tmp_path: Path, signal_at: Callable[..., None]
) -> None:
    overrides = [*BASE, *KINDS[kind]]
    whole = start(tmp_path / "whole", overrides)
    steps = whole.results()["steps"]
    scaled = tuple(max(1, min(cut, round(cut * steps / 60))) for cut in cuts)
    signal_at(*scaled)
    with pytest.raises(Interrupted, match="stopped by SIGTERM"):
        start(tmp_path / "cut", overrides)
    for _ in cuts[1:]:
        with pytest.raises(Interrupted):
            resume(tmp_path / "cut")
    resumed = resume(tmp_path / "cut", ["resume=latest"])
    assert_equal_runs(resumed, whole)
    assert resumed.overrides_file.read_text() == whole.overrides_file.read_text()


@pytest.mark.parametrize("cell", [cell for cell in CELLS.names if cell != "lstm"])
def test_resume_equals_never_stopped_with_every_cell(cell: str, tmp_path: Path, signal_at: Callable[..., None]) -> None:
    """As the LSTM of the other tests: with the carried state, the masks that the cell itself draws, and options."""
    options = ["model.layer_norm=true", "model.learned_initial_state=true"]
    own = {
        "gru": [*options, "model.residual=true"], "rnn": [*options, "model.skip_connections=true"],
        "mingru": [*options, "model.residual=true"], "awd_lstm": options,
        "mogrifier_lstm": ["model.state_dropout=0.3"], "transformer": ["model.context=20"],
    }  # fmt: skip
    overrides = [*BASE, f"model={cell}", *own.get(cell, []), "batching=stream", "batching.steps=32"]
    overrides += ["trainer.max_steps=6", "trainer.val_check_interval=4"]
    whole = start(tmp_path / "whole", overrides)
    signal_at(3)
    with pytest.raises(Interrupted, match="stopped by SIGTERM"):
        start(tmp_path / "cut", overrides)
    assert_equal_runs(resume(tmp_path / "cut"), whole)


@pytest.mark.parametrize("kind", ["stream, both", "windows", "documents"])
def test_quiet_steps_are_lightnings_own_to_the_last_bit(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet: list[int] = []
    original = EpochLoop._quiet_step
    monkeypatch.setattr(EpochLoop, "_quiet_step", lambda *a: quiet.append(a[0].global_step) or original(*a))
    overrides = [*BASE, *KINDS[kind], "trainer.checkpoint_every.steps=25"]
    ours = start(tmp_path / "ours", overrides)
    assert len(quiet) > ours.results()["steps"] / 3
    counters = read_checkpoint(ours.checkpoint_file("last"))["loops"]
    monkeypatch.setattr(EpochLoop, "_may_be_quiet", lambda self: False)
    whole = start(tmp_path / "whole", overrides)
    assert_equal_runs(ours, whole)
    assert counters == read_checkpoint(whole.checkpoint_file("last"))["loops"]


def test_a_callback_that_does_not_say_when_it_looks_sees_every_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Counter(pl.Callback):
        steps = 0

        def on_train_batch_end(self, *_: Any) -> None:
            self.steps += 1

    monkeypatch.setattr(EpochLoop, "_quiet_step", lambda *a: pytest.fail("a quiet step"))
    counter = Counter()
    with claimed_run(tmp_path / "run") as run:
        train(compose_train(*BASE, "trainer.max_epochs=1"), run, [], callbacks=[counter])
    assert counter.steps == run.results()["steps"]
    start(tmp_path / "profiled", [*BASE, "trainer.profiler=simple", "trainer.max_epochs=1"])


def test_a_signal_in_the_last_epoch_is_heeded_too(tmp_path: Path, signal_at: Callable[..., None]) -> None:
    whole = start(tmp_path / "whole", BASE)
    signal_at(whole.results()["steps"] - 1)
    with pytest.raises(Interrupted):
        start(tmp_path / "cut", BASE)
    assert_equal_runs(resume(tmp_path / "cut"), whole)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_each_signal_is_named(number: signal.Signals, tmp_path: Path, signal_at: Callable[..., None]) -> None:
    signal_at(2, number=number)
    with pytest.raises(Interrupted, match=f"stopped by {number.name}"):
        start(tmp_path / "cut", BASE)
    assert (tmp_path / "cut/checkpoints/last.ckpt").exists()


def test_the_progress_of_a_resumed_training_knows_its_first_step_and_all_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signal_at: Callable[..., None]
) -> None:
    begun: list[TrainingStage] = []
    original = TrainingStage.begin

    def note(self: TrainingStage) -> None:
        original(self)
        begun.append(self)

    monkeypatch.setattr(TrainingStage, "begin", note)
    signal_at(20)
    with pytest.raises(Interrupted):
        start(tmp_path / "cut", BASE)
    resume(tmp_path / "cut")
    steps = 3 * -(-6959 // 8 // 64)
    assert [(stage.first, stage.total) for stage in begun] == [(0, steps), (22, steps)]
    begun[-1].refresh()
    assert begun[-1].name == "epoch 3"
    assert begun[-1].done == steps


def test_checkpoints_come_every_so_many_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []
    original = TrainingModule.on_save_checkpoint

    def note(self: TrainingModule, checkpoint: dict[str, Any]) -> None:
        saved.append(checkpoint["global_step"])
        original(self, checkpoint)

    monkeypatch.setattr(TrainingModule, "on_save_checkpoint", note)
    start(tmp_path / "run", [*BASE, "trainer.checkpoint_every.steps=4", "trainer.val_check_interval=1000"])
    assert {4, 8, 12} <= set(saved)


def test_early_stopping_and_its_end_survive_a_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = [*BASE, "trainer.max_epochs=30", "trainer.early_stopping_patience=2", "optimizer.learning_rate=1e-12"]
    whole = start(tmp_path / "whole", overrides)
    assert whole.results()["steps"] < 30 * 14

    from textloom.training import train as module

    def die(*arguments: object) -> None:
        raise Interrupted("after the last checkpoint, before the results")

    with monkeypatch.context() as patch:
        patch.setattr(module, "evaluate_run", die)
        with pytest.raises(Interrupted):
            start(tmp_path / "cut", overrides)
    assert_equal_runs(resume(tmp_path / "cut"), whole)


def test_a_run_cut_before_its_first_checkpoint_starts_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from textloom.training import preparation

    whole = start(tmp_path / "whole", BASE)

    def die(*arguments: object) -> None:
        raise Interrupted("while the text is encoded")

    with monkeypatch.context() as patch:
        patch.setattr(preparation, "load_or_encode_into", die)
        with pytest.raises(Interrupted):
            start(tmp_path / "cut", BASE)
    assert_equal_runs(resume(tmp_path / "cut"), whole)


def test_a_damaged_last_checkpoint_is_named_and_the_one_before_used(
    tmp_path: Path, signal_at: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    whole = start(tmp_path / "whole", BASE)
    signal_at(20)
    with pytest.raises(Interrupted):
        start(tmp_path / "cut", BASE)
    last = tmp_path / "cut/checkpoints/last.ckpt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    going_on = [newest_checkpoint(Run(tmp_path / "cut"))]
    assert_equal_runs(resume(tmp_path / "cut"), whole)
    assert "last.ckpt: damaged" in caplog.text
    assert going_on == [str(last.with_name("previous.ckpt"))]


def test_a_run_whose_checkpoints_are_all_damaged_is_refused(tmp_path: Path, toy_run: Run) -> None:
    run = Run(tmp_path)
    run.checkpoints.mkdir()
    for name in ("last", "best"):
        run.checkpoint_file(name).write_bytes(b"PK")
    with pytest.raises(RunError, match=r"every checkpoint is damaged \(last\.ckpt, best\.ckpt\)"):
        newest_checkpoint(run)


def test_more_epochs_may_be_asked_for(tmp_path: Path, signal_at: Callable[..., None]) -> None:
    signal_at(5)
    with pytest.raises(Interrupted):
        start(tmp_path / "cut", BASE)
    resumed = resume(tmp_path / "cut", ["resume=x", "trainer.max_epochs=4"])
    assert_equal_runs(resumed, start(tmp_path / "whole", [*BASE, "trainer.max_epochs=4"]))


def test_an_early_stopped_run_continues_with_more_patience(tmp_path: Path) -> None:
    overrides = [*BASE, "trainer.max_epochs=6", "optimizer.learning_rate=1e-12"]
    start(tmp_path / "run", [*overrides, "trainer.early_stopping_patience=2"])
    further = resume(tmp_path / "run", ["trainer.early_stopping_patience=4"])
    whole = start(tmp_path / "whole", [*overrides, "trainer.early_stopping_patience=4"])
    assert further.results()["steps"] == whole.results()["steps"]
    assert curves(further) == curves(whole)


def test_going_back_is_refused_and_leaves_the_run_as_it_was(tmp_path: Path, toy_run: Run) -> None:
    for change in ("trainer.max_epochs=2", "trainer.max_steps=1"):
        with pytest.raises(ConfigError, match="already; give more"):
            resumed_config(toy_run, [change])


def test_a_completed_run_continues_if_a_limit_is_raised(tmp_path: Path) -> None:
    start(tmp_path / "run", [*BASE, "trainer.max_epochs=2"])
    further = resume(tmp_path / "run", ["trainer.max_epochs=3"])
    whole = start(tmp_path / "whole", BASE)
    for name in ("best", "last"):
        a, b = (read_checkpoint(run.checkpoint_file(name)) for run in (further, whole))
        assert same(a["state_dict"], b["state_dict"])
    assert further.results()["val/loss"] == whole.results()["val/loss"]
    assert curves(further) == curves(whole)


@pytest.mark.parametrize(
    "change",
    ["model.units=9", "optimizer.learning_rate=1", "seed=2", "batching.steps=3", "model=gru", "+trainer.extra.x=1"],
)
def test_what_would_make_another_run_is_refused_naming_both_sides(change: str, toy_run: Run) -> None:
    with pytest.raises(ConfigError, match=r"the run was made with .*; train a new one"):
        resumed_config(toy_run, [change])


def test_a_counted_run_may_be_resumed_with_other_limits(tmp_path: Path) -> None:
    run = train_run(tmp_path / "run", "experiment=ngram")
    before = run.results()["val/loss"]
    assert resumed_config(run, ["trainer.max_epochs=5"]).trainer.max_epochs == 5
    assert resumed_config(run, ["trainer.max_steps=5"]).trainer.max_steps == 5
    assert run.results()["val/loss"] == before


@pytest.mark.parametrize("kind", ["cosine", "onecycle"])
def test_a_schedule_over_all_steps_does_not_stretch(kind: str, tmp_path: Path, toy_run: Run) -> None:
    assert resumed_config(toy_run, ["trainer.max_epochs=9"]).trainer.max_epochs == 9
    assert resumed_config(toy_run, ["model.units=32", "seed=0"]) == toy_run.config()
    cosine = start(tmp_path / kind, [*BASE, f"schedule={kind}", "trainer.max_epochs=1"])
    with pytest.raises(ConfigError, match=r"trainer\.max_epochs=9: the run was made with trainer\.max_epochs=1"):
        resumed_config(cosine, ["trainer.max_epochs=9"])


def test_changed_text_is_refused_naming_both_fingerprints(tmp_path: Path, signal_at: Callable[..., None]) -> None:
    signal_at(3)
    with pytest.raises(Interrupted):
        start(tmp_path / "cut", [*BASE, *KINDS["documents"]])
    (tmp_path / "text.txt").write_text("another\n\ntext\n\naltogether\n\nis here")
    with pytest.raises(RunError, match=r"the text has changed .* fingerprint was [0-9a-f]{12}, and is [0-9a-f]{12}"):
        resume(tmp_path / "cut")


def test_a_run_whose_source_is_gone_resumes_with_its_own_tokens(tmp_path: Path, signal_at: Callable[..., None]) -> None:
    overrides = [*BASE, *KINDS["documents"]]
    whole = start(tmp_path / "whole", overrides)
    signal_at(9)
    with pytest.raises(Interrupted):
        start(tmp_path / "cut", overrides)
    (tmp_path / "text.txt").unlink()
    assert_equal_runs(resume(tmp_path / "cut"), whole)


def test_one_directory_has_one_training_at_a_time(tmp_path: Path) -> None:
    with (
        claimed_run(tmp_path / "run"),
        pytest.raises(RunError, match="another process is training this run"),
        claimed_run(tmp_path / "run", resume=True),
    ):
        pass


def test_a_divergence_rolls_back_and_halves_the_learning_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    original, poisoned = TrainingModule.training_step, []

    def step(self: TrainingModule, batch: Any, index: int) -> torch.Tensor:
        loss = original(self, batch, index)
        if self.global_step in (20, 30) and len(poisoned) < 2 and self.global_step not in poisoned:
            poisoned.append(self.global_step)
            return loss * float("nan")
        return loss

    monkeypatch.setattr(TrainingModule, "training_step", step)
    run = start(tmp_path / "run", [*BASE, "trainer.on_nan=rollback", "schedule=cosine", "schedule.warmup_steps=0"])
    assert len(poisoned) == 2
    assert read_checkpoint(run.checkpoint_file("last"))["rate"] == 0.25
    rates = dict(curves(run)["train/learning_rate"])
    assert max(rates.values()) <= 0.003
    assert min(rates.values()) < 0.003 / 4
    assert "going back to" in caplog.text


def test_rolling_back_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from textloom.errors import DivergenceError

    starts: list[float] = []

    def step(self: TrainingModule, batch: Any, index: int) -> torch.Tensor:
        starts.append(self.trainer.optimizers[0].param_groups[0]["lr"])
        loss = self.model.softmax.bias.sum() * float("nan")
        self.meter.add(self.global_step, loss.detach(), 1)
        return loss

    monkeypatch.setattr(TrainingModule, "training_step", step)
    with pytest.raises(DivergenceError):
        start(tmp_path / "run", [*BASE, "trainer.on_nan=rollback", "trainer.max_rollbacks=2"])
    assert sorted(set(starts), reverse=True) == [0.003, 0.0015, 0.00075]
