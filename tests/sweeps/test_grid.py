"""A grid: completed trials are kept, interrupted ones resumed, failed ones run again, and no others are mixed in."""

from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import TINY, Answer
from textloom.runs.run import Run

Command = Callable[..., Answer]
SMALL = [*TINY, "trainer.batch_size=8"]


def states(sweep: Path) -> dict[str, str]:
    return {path.parent.name: Run(path.parent).status()["status"] for path in sorted(sweep.glob("*/status.json"))}


def test_a_trial_bears_the_name_of_what_varies_and_the_table_says_which_is_best(
    command: Command, tmp_path: Path
) -> None:
    answer = command("train", "-m", *SMALL, "model.units=4,8", "tokenizer=char,byte")
    assert answer.status == 0, answer.err
    sweep = tmp_path / "outputs/sweeps/toy_units,tokenizer"
    assert states(sweep) == {
        f"model.units={units},tokenizer={level}": "completed" for units in (4, 8) for level in ("byte", "char")
    }
    figures = {path.parent.name: Run(path.parent).results()["val/bits_per_char"] for path in sweep.glob("*/tokens")}
    best = min(figures, key=lambda name: figures[name])
    assert f"best: {best}" in answer.out
    assert f"{figures[best]:.4f}" in answer.out
    assert (sweep / "table.txt").read_text() in answer.out
    assert "textloom compare runs=" in answer.out
    assert "sweep" not in Run(sweep / best).config_file.read_text()
    assert Run(sweep / best).config().sweep is None


def test_the_same_command_again_skips_what_is_completed_resumes_what_was_cut_and_adds_what_is_new(
    command: Command, tmp_path: Path
) -> None:
    keys = [*SMALL, "trainer.max_epochs=3", "model.units=4", "trainer.checkpoint_every.steps=1"]
    assert command("train", "-m", *keys, "seed=1,2").status == 0
    sweep = tmp_path / "outputs/sweeps/toy_seed"
    cut = Run(sweep / "seed=2")
    before = cut.results()["val/loss"]
    cut.results_file.unlink()  # as a kill would leave it, with its checkpoints and the status that it had
    cut.mark("running")
    seen = (sweep / "seed=1/status.json").stat().st_mtime_ns
    answer = command("train", "-m", *keys, "seed=1,2,3")
    assert answer.status == 0, answer.err
    assert list(states(sweep).values()) == ["completed"] * 3
    assert (sweep / "seed=1/status.json").stat().st_mtime_ns == seen
    assert "resuming from" in (sweep / "seed=2/train.log").read_text()
    assert cut.results()["val/loss"] == before
    assert "resuming from" not in (sweep / "seed=3/train.log").read_text()


def test_a_failed_trial_is_reported_with_its_log_and_only_it_runs_again(command: Command, tmp_path: Path) -> None:
    arguments = ["train", "-m", *SMALL, "optimizer=sgd", "optimizer.learning_rate=1e38,0.1"]
    for call in range(2):
        answer = command(*arguments)
        assert answer.status == 1
        assert "1 completed, 1 failed" in answer.out
        assert "DivergenceError: the training loss is" in answer.out
        log = tmp_path / "outputs/sweeps/toy_learning_rate/optimizer.learning_rate=1e+38/train.log"
        assert f"log: {log.relative_to(tmp_path)}" in answer.out
        assert log.read_text().count("device: ") == call + 1
        assert answer.err.splitlines()[-1].startswith("1 of 2 trials did not finish, see outputs/sweeps")
    other = tmp_path / "outputs/sweeps/toy_learning_rate/optimizer.learning_rate=0.1/train.log"
    assert other.read_text().count("device: ") == 1


def test_a_sweep_does_not_mix_runs_of_other_configs(command: Command, tmp_path: Path) -> None:
    assert command("train", "-m", *SMALL, "model.units=4,5", "sweep.name=s").status == 0
    for changed, units in (("trainer.batch_size=4", "4,5"), ("trainer.batch_size=4", "6,7")):
        answer = command("train", "-m", *SMALL, changed, f"model.units={units}", "sweep.name=s")
        assert answer.status == 2
        assert "trainer.batch_size=8 then, trainer.batch_size=4 now" in answer.err
        assert "sweep.name=NAME" in answer.err
        assert len(answer.err.strip().splitlines()) == 1
    done = {path: path.stat().st_mtime_ns for path in tmp_path.glob("outputs/sweeps/s/*/status.json")}
    again = command("train", "-m", *SMALL, "samples.length=2", "model.units=4,5", "sweep.name=s")  # changes no figure
    assert again.status == 0
    assert {path: path.stat().st_mtime_ns for path in done} == done


def test_default_names_tell_sweeps_over_one_key_apart(command: Command, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(f"the book {name} is about deep learning. " * 30)
    for _ in range(2):
        for name in ("a", "b"):
            answer = command("train", "-m", *SMALL, "data=text_files", f"data.path={name}.txt", "model.units=4,5")
            assert answer.status == 0, answer.err
            assert "2 trials: 2 completed" in answer.out
    first, second = sorted(path.name for path in (tmp_path / "outputs/sweeps").iterdir())
    assert first == "text_files_units"
    assert second.startswith("text_files_units-")
    for name, sweep in (("a", first), ("b", second)):
        runs = [path.parent for path in (tmp_path / "outputs/sweeps" / sweep).glob("*/status.json")]
        assert [Run(run).config().data.path for run in runs] == [(f"{name}.txt",)] * 2


def test_two_spellings_are_one_trial_and_the_table_says_the_same_when_it_is_read_again(
    command: Command, tmp_path: Path
) -> None:
    varied = ["optimizer.learning_rate=0.001,1e-3,.001", "samples.prompt='deep',deep", "model.units=4,4", "seed=0,1"]
    varied += ["model.output_dropout=null"]  # chosen for the text
    first, second = (command("train", "-m", *SMALL, *varied, "sweep.name=s") for _ in range(2))
    assert "2 trials: 2 completed" in first.out
    assert first.out == second.out
    assert len(states(tmp_path / "outputs/sweeps/s")) == 2
    rows = command("compare", "runs=outputs/sweeps/s", "format=csv").out
    assert "false" not in rows


def test_keys_that_change_no_figure_make_trials_of_their_own(command: Command, tmp_path: Path) -> None:
    keys = [key for key in SMALL if not key.startswith(("name=", "samples."))]
    answer = command("train", "-m", *keys, "samples.length=3,6", "name=first,'no, 2026'", "sweep.name=s")
    assert answer.status == 0, answer.err
    sweep = tmp_path / "outputs/sweeps/s"
    assert len(states(sweep)) == 4
    assert (sweep / "samples.length=3,name=no, 2026").is_dir()
    for path in sweep.glob("*/status.json"):
        run = Run(path.parent)
        assert f"samples.length={run.config().samples.length},name={run.config().name}" == path.parent.name
        assert run.samples_file.exists()


def test_no_trial_is_best_across_texts(command: Command, tmp_path: Path) -> None:
    (tmp_path / "easy, (1).txt").write_text("abab" * 200)
    (tmp_path / "größe.txt").write_text("".join(chr(97 + i * i % 23) for i in range(800)))
    arguments = ["data=text_files", "data.path='easy, (1).txt',größe.txt", "sweep.name=s"]
    alone = command("train", "-m", *SMALL, *arguments)
    assert alone.status == 0, alone.err
    assert "no best of all: the trials were not scored on the same text" in alone.out
    assert "best: " not in alone.out
    assert "*" not in (tmp_path / "outputs/sweeps/s/table.txt").read_text()
    four = command("train", "-m", *SMALL, *arguments, "model.units=4,8")
    best = [line for line in four.out.splitlines() if line.startswith("best of text ")]
    assert len(best) == 2
    assert all(name in four.out for name in ("data.path=easy, (1).txt", "data.path=größe.txt"))


def test_a_key_that_begins_to_vary_leaves_what_was_trained_without_it_in_place(
    command: Command, tmp_path: Path
) -> None:
    assert command("train", "-m", *SMALL, "model.units=4,5", "sweep.name=s").status == 0
    assert command("train", "-m", *SMALL, "model.units=4,5", "seed=0,1", "sweep.name=s").status == 0
    assert sorted(states(tmp_path / "outputs/sweeps/s")) == [
        "model.units=4", "model.units=4,seed=1", "model.units=5", "model.units=5,seed=1",
    ]  # fmt: skip


def test_a_mistake_in_trial_7_shows_before_trial_1_runs(command: Command, tmp_path: Path) -> None:
    answer = command("train", "-m", *SMALL, "model.units=1,2,3,4,5,6,-7,8")
    assert answer.status == 2
    assert answer.err.startswith("trial 7 (model.units=-7): model.units=-7: must be greater than 0")
    assert len(answer.err.strip().splitlines()) == 1
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model.units=8"], "-m: nothing varies; give a key several values"),
        (["model.units=range(5,5)"], "model.units=range(5,5): names nothing, so the sweep would be empty"),
        (["model=glob(nothing*)"], "model=glob(nothing*): names nothing"),
        (["model.unit=4,8"], "model.unit: there is no such key, did you mean model.units?"),
        (["model=lstm,grru"], "model=grru: there is no such config, did you mean gru?"),
        (["seed=1,2", "sweep.paralel=2"], "sweep.paralel: there is no such key, did you mean sweep.parallel?"),
        (["seed=1,2", "sweep.launcher=workrs"], "sweep.launcher=workrs: must be 'serial', 'subprocess', 'workers'"),
        (["seed=1,2", "sweep.parallel=2"], "sweep.parallel=2: serial runs one; set sweep.launcher=workers"),
        (["seed=1,2", "sweep.metric=val/los"], "sweep.metric=val/los: no run has it, did you mean val/loss?"),
        (
            ["optimizer.learning_rate=interval(0.1,1)"],
            "an interval has no grid; give values or a range, or set sweep.n",
        ),
        (["model.units=interval(9,4)", "sweep.n_trials=2"], "give two numbers, the lower one first"),
        (["seed=1,2", "sweep.sampler=tpe"], "sweep.sampler=tpe: give the number of trials as sweep.n_trials=NUMBER"),
        (["seed=1,2", "sweep.sampler=grid", "sweep.n_trials=1"], "a grid has as many trials as points"),
        (["seed=1,2", "sweep=nowhere"], "sweep=nowhere: there is no such config"),
        (["seed=1,2", "sweep.name=a/b"], "sweep.name=a/b: "),
        (["seed=1,2", "resume=latest"], "resume: continues one run, and -m trains many"),
    ],
)
def test_a_mistake_in_a_sweep_is_one_line_and_exit_status_2(
    command: Command, arguments: list[str], message: str, tmp_path: Path
) -> None:
    answer = command("train", "-m", *arguments)
    assert answer.status == 2
    assert message in answer.err
    assert len(answer.err.strip().splitlines()) == 1, answer.err
    assert not (tmp_path / "outputs").exists()


def test_two_processes_cannot_run_one_sweep(command: Command, tmp_path: Path) -> None:
    from textloom.sweeps.directory import claimed_sweep

    with claimed_sweep(tmp_path / "outputs/sweeps/toy_seed"):
        answer = command("train", "-m", *SMALL, "seed=1,2")
    assert answer.status == 2
    assert "another process runs this sweep" in answer.err


def test_globs_ranges_and_choices_of_a_group_are_a_grid(command: Command, tmp_path: Path) -> None:
    varied = ["model=glob(*,exclude=[gru,ngram,min*,awd*,mog*,trans*])", "seed=range(1,3)"]
    answer = command("train", "-m", *SMALL, *varied, "sweep.dry_run=false")
    assert answer.status == 0, answer.err
    assert sorted(states(tmp_path / "outputs/sweeps/toy_model,seed")) == [
        "model=lstm,seed=1", "model=lstm,seed=2", "model=rnn,seed=1", "model=rnn,seed=2",
    ]  # fmt: skip


def test_a_timed_out_trial_in_this_process_fails_and_the_next_one_runs(command: Command, tmp_path: Path) -> None:
    endless = ["trainer.early_stopping_patience=null", "trainer.max_epochs=100000,1", "sweep.trial_timeout=2"]
    answer = command("train", "-m", *SMALL, *endless)
    assert answer.status == 1
    assert "took longer than sweep.trial_timeout=2 seconds" in answer.out
    assert states(tmp_path / "outputs/sweeps/toy_max_epochs") == {
        "trainer.max_epochs=1": "completed", "trainer.max_epochs=100000": "failed",
    }  # fmt: skip
    last = tmp_path / "outputs/sweeps/toy_max_epochs/trainer.max_epochs=100000/checkpoints/last.ckpt"
    assert last.exists()


def test_one_text_under_two_spellings_of_its_path_is_one_trial(command: Command, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a text about deep learning. " * 30)
    answer = command("train", "-m", *SMALL, "data=text_files", "data.path=a.txt,./a.txt", "sweep.name=s")
    assert answer.status == 0, answer.err
    assert list(states(tmp_path / "outputs/sweeps/s")) == ["data.path=a.txt"]
