"""Progress and log share a terminal: every line is whole, the progress is below, and it is removed at the end."""

import io
import logging
import re
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl

from conftest import compose_train
from terminal import Terminal
from textloom.runs.claim import claimed_run
from textloom.system import progress
from textloom.system.progress import ConsoleHandler, Stage, advance, say, shown, stage
from textloom.training.callbacks.progress import TrainingStage
from textloom.training.train import train

BAR = re.compile(r"^(\^C)?\S.*(%\||, \d\d:\d\d)")
SMALL = ["model.units=8", "samples.length=5", "name=t"]


class FakeTerminal(io.StringIO):
    """Standard error that calls itself a terminal, and keeps every frame."""

    encoding = "utf-8"  # type: ignore[assignment]

    def isatty(self) -> bool:
        return True


def fake_terminal(monkeypatch: pytest.MonkeyPatch) -> FakeTerminal:
    """A terminal of 80 columns that is redrawn all the time; no fixture, since pytest sets stderr after those."""
    terminal = FakeTerminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_REDRAWS", 0.001)
    return terminal


def log_lines(file: Path) -> list[str]:
    """The messages of a train.log."""
    return [re.sub(r"^\S+ \S+ [A-Z]+ ", "", line) for line in file.read_text(encoding="utf-8").splitlines()]


def assert_only_whole_lines(terminal: Terminal, expected: list[str]) -> None:
    """On every screen: whole lines, and below them at most some lines of progress that fit."""
    lines = set(terminal.wrapped(expected)) | {""}
    for screen in terminal.screens:
        above = [line for line in screen if line in lines]
        below = screen[len(above) :]
        assert screen[: len(above)] == above, screen
        assert len(below) <= 2, screen
        for line in below:
            assert BAR.match(line) or "trials: " in line, screen
            assert len(line) < terminal.columns, screen


IN_A_NOTEBOOK = """
import time
from textloom.system import progress

progress.SECONDS_BETWEEN_REDRAWS = 0.01
publisher, published = get_ipython().display_pub, []
publish = publisher.publish

def recorded(data, **keywords):
    published.append(data["text/plain"])
    publish(data, **keywords)

publisher.publish = recorded
with progress.shown(), progress.stage("counting", 10, "tokens"):
    progress.advance(5)
    time.sleep(1)
print(published[0])
"""


@pytest.mark.slow
def test_a_notebook_shows_progress_below_the_cell_and_removes_it_at_the_end() -> None:
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(IN_A_NOTEBOOK)])
    shown, printed = nbclient.NotebookClient(notebook, kernel_name="python3").execute().cells[0].outputs
    assert shown["data"] == {"text/plain": ""}
    assert re.match(r"counting  50%\|.*\| 5/10 tokens, ", printed["text"])


def test_a_training_that_is_stopped_by_control_c_leaves_whole_lines_and_no_progress(tmp_path: Path) -> None:
    terminal, run = Terminal(80), tmp_path / "run"

    stopped = []

    def stop_after_the_second_epoch(screen: list[str]) -> bytes:
        epochs = [int(line.split()[1]) for line in screen if re.match(r"epoch \d+ ", line)]
        if stopped or max(epochs, default=0) < 3:
            return b""
        stopped.append(epochs[-1])
        return b"\x03"

    keys = ["trainer.max_epochs=100000", "trainer.batch_size=32", f"hydra.run.dir={run}", *SMALL]
    keys.append("trainer.early_stopping_patience=null")
    terminal.run("train", *keys, typed=stop_after_the_second_epoch)
    assert terminal.status == 75
    told = [*log_lines(run / "train.log"), "stopped by SIGINT; resume with: textloom train resume=run"]
    assert terminal.text.splitlines() == terminal.wrapped(told)
    assert_only_whole_lines(terminal, told)
    drawn = [line for screen in terminal.screens for line in screen if re.match(r"epoch \d+ +\d+%", line)]
    assert drawn
    assert all("/400,000 steps" in line for line in drawn)  # of the whole training


def test_a_training_in_a_wide_terminal_ends_with_its_result_alone(tmp_path: Path) -> None:
    terminal, run = Terminal(120), tmp_path / "run"
    terminal.run("train", "trainer.max_steps=6", f"hydra.run.dir={run}", *SMALL)
    assert terminal.status == 0
    told, lines = terminal.wrapped(log_lines(run / "train.log")), terminal.text.splitlines()
    assert lines[: len(told)] == told
    assert_only_whole_lines(terminal, terminal.text.splitlines() + log_lines(run / "train.log"))
    assert not any("%|" in line for line in lines)
    assert not any("/80 steps" in line for screen in terminal.screens for line in screen)  # max_steps ends it


def test_a_sweep_shows_its_trials_above_the_progress_of_the_one_that_runs(tmp_path: Path) -> None:
    terminal = Terminal(80)
    keys = ["model.units=4,8", "trainer.max_epochs=2,1", "optimizer.learning_rate=0.001", f"hydra.sweep.dir={tmp_path}"]
    terminal.run("train", "-m", *keys, *SMALL[1:])
    assert terminal.status == 0
    assert_only_whole_lines(terminal, terminal.text.splitlines())
    pairs = [screen[-2:] for screen in terminal.screens if len(screen) > 1 and "trials: " in screen[-2]]
    assert any("1 running" in summary and BAR.match(line) for summary, line in pairs)
    assert "%|" not in terminal.text
    assert terminal.text.count("data: one document, cut in order") == 1  # not for every trial
    assert terminal.text.count("completed: ") == 4
    table = terminal.text.partition("4 trials: 4 completed")[2]
    words = table.split()
    for word in ("verdict", "completed", "model.units=8,trainer.max_epochs=2", "comparison.html"):
        assert word in words


def test_prepare_shows_how_far_it_is(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("the words of a long book, one line like the other\n" * 400_000)
    terminal = Terminal(60)
    terminal.run("prepare", "data=text_files", f"data.path={tmp_path / 'book.txt'}", "data.fold_duplicates=false")
    assert terminal.status == 0
    assert_only_whole_lines(terminal, terminal.text.splitlines())
    drawn = " ".join(line for screen in terminal.screens for line in screen)
    assert "MB, " in drawn
    assert "%|" not in terminal.text


def test_every_phase_of_a_training_is_a_stage_that_is_done_when_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages: list[Stage] = []
    original = Stage.__init__

    def note(self: Stage, *arguments: Any, **keywords: Any) -> None:
        original(self, *arguments, **keywords)
        stages.append(self)

    monkeypatch.setattr(Stage, "__init__", note)
    monkeypatch.setenv("TEXTLOOM_CACHE", str(tmp_path / "cache"))
    given = [*SMALL, "trainer.max_epochs=2", "trainer.batch_size=8"]
    names: list[tuple[int, str]] = []

    class Look(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *arguments: Any) -> None:
            (training,) = (each for each in stages if isinstance(each, TrainingStage))
            training.refresh()
            names.append((trainer.current_epoch, training.name))

    with claimed_run(tmp_path / "run") as run:
        train(compose_train(*given), run, given, callbacks=[Look()])
    (training,) = (each for each in stages if isinstance(each, TrainingStage))
    training.refresh()
    assert training.name == "epoch 2"
    assert training.done == training.total == len(names)
    assert set(names) == {(0, "epoch 1"), (1, "epoch 2")}
    assert [each.name for each in stages].count("validating") == 2
    counted = {each.name: each for each in stages if each.total and each is not training}
    assert {"hashing the train split", "fitting the tokenizer", "encoding the train split", "validating"} <= set(
        counted
    )
    assert {"scoring the val split", "scoring the test split"} <= set(counted)
    for each in counted.values():
        assert each.total is not None
        assert each.done >= each.total, each.name
    assert {"reading the text", "writing samples"} <= {each.name for each in stages}


def test_nothing_is_drawn_where_stderr_is_a_file_or_no_progress_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = fake_terminal(monkeypatch)
    with shown(False), stage("working", 10):
        time.sleep(0.01)
    assert terminal.getvalue() == ""
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    with shown(), stage("working", 10):
        time.sleep(0.01)
        say("a line")
    assert file.getvalue() == "a line\n"


def test_log_lines_and_warnings_are_written_above_the_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = fake_terminal(monkeypatch)
    handler = ConsoleHandler(terminal)
    log = logging.getLogger("test_progress")
    log.addHandler(handler)
    try:
        with shown(), stage("working", 10) as working:
            working.advance(5)
            while "50%" not in terminal.getvalue():
                time.sleep(0.001)
            for number in range(50):
                log.warning("line %d", number)
    finally:
        log.removeHandler(handler)
    text = terminal.getvalue()
    for number in range(50):
        assert f"{progress.ERASE}line {number}\n" in text
    assert text.endswith(progress.ERASE)


def test_warnings_are_captured_only_meanwhile_and_stay_captured_for_a_caller_who_has_them_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake_terminal(monkeypatch)
    before = warnings.showwarning
    for own in (False, True):
        logging.captureWarnings(own)
        callers = warnings.showwarning
        with shown():
            assert warnings.showwarning is not before
        assert warnings.showwarning is callers
    logging.captureWarnings(False)


def test_an_error_ends_all_the_stages_inside_the_one_that_it_leaves() -> None:
    def fail() -> None:
        with stage("middle"):
            inner.__enter__()
            raise ValueError("wrong")

    with stage("outer", 10) as outer:
        inner = stage("inner", 10)
        with pytest.raises(ValueError, match="wrong"):
            fail()
        advance(3)
        assert outer.done == 3
        inner.__exit__(None, None, None)
        advance(3)
        assert outer.done == 6


@pytest.mark.parametrize("columns", [12, 20, 39, 79, 119, 300])
def test_a_line_fits_its_terminal_and_leaves_out_the_least_important_first(columns: int) -> None:
    training = Stage("epoch 12", 80_000, "steps")
    training.done, training.began = 28_123, time.monotonic() - 3725
    training.notes = ["loss 2.341", "51,203 targets/s"]
    line = training.line(columns)
    assert len(line) <= columns
    assert line.startswith("epoch 12")
    if columns >= 39:
        assert "28,123/80,000 steps" in line
    if columns >= 79:
        assert re.search(r"1:54:\d\d left, loss 2\.341", line)
    assert ("51,203 targets/s" in line) == (columns >= 119)


def test_a_terminal_without_unicode_gets_a_bar_of_plain_characters() -> None:
    half = Stage("working", 10)
    half.done = 5
    assert half.line(60, ascii_only=True).isascii()
