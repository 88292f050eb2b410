"""A run that fails before its first step leaves nothing behind; keys that a resumed run cannot change are explained."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import TINY, Answer, compose_train
from textloom.errors import RunError
from textloom.runs.claim import claimed_run
from textloom.runs.run import Run
from textloom.training.module import TrainingModule
from textloom.training.train import train

HERE = "hydra.run.dir=outputs/deep/run"


def everything() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*"))


@pytest.mark.parametrize(
    "mistake",
    [
        ["data=text_files", "data.path=nowhere.txt"],
        ["data=text_files", "data.path=short.txt"],
        ["trainer.accelerator=mps"],
        ["trainer.extra.model_registry=x"],
        ["model.units=0"],
        ["model.units=20000000"],
    ],
    ids=["no text", "short text", "no device", "argument", "value", "no memory"],
)
def test_what_fails_before_the_first_step_leaves_nothing(mistake: list[str], command: Callable[..., Answer]) -> None:
    Path("short.txt").write_text("ab")
    status, _, said = command("train", *TINY, *mistake)
    assert status == 2
    assert len(said.strip().splitlines()[-1:]) == 1
    assert everything() == ["short.txt"]


def test_what_was_there_before_stays(command: Callable[..., Answer]) -> None:
    Path("outputs/deep").mkdir(parents=True)
    assert command("train", *TINY, HERE, "trainer.accelerator=mps").status == 2
    assert everything() == ["outputs", "outputs/deep"]
    Path("outputs/deep/run").mkdir()
    Path("outputs/deep/run/notes.txt").write_text("mine")
    assert command("train", *TINY, HERE, "data=text_files", "data.path=nowhere.txt").status == 2
    assert everything()[2:] == ["outputs/deep/run", "outputs/deep/run/notes.txt"]


def test_the_same_command_with_the_cure_runs_in_the_same_directory(command: Callable[..., Answer]) -> None:
    assert command("train", *TINY, HERE, "data=text_files", "data.path=text.txt").status == 2
    Path("text.txt").write_text("learn deep " * 300)
    answer = command("train", *TINY, HERE, "data=text_files", "data.path=text.txt")
    assert answer.status == 0, answer.err
    assert Run(Path("outputs/deep/run")).status()["status"] == "completed"


def test_ctrl_c_before_the_first_step_leaves_nothing(
    command: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    from textloom.training import preparation

    original = preparation.load_or_encode_into

    def interrupt(*arguments: object) -> object:
        os.kill(os.getpid(), signal.SIGINT)
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(preparation, "load_or_encode_into", interrupt)
    status, _, said = command("train", *TINY, HERE)
    assert status == 130
    assert said.strip().splitlines()[-1] == "stopped"
    assert everything() == []


def test_a_failure_after_the_first_step_leaves_the_run(
    command: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = TrainingModule.training_step

    def step(self: TrainingModule, batch: object, index: int) -> object:
        if self.global_step == 2:
            raise RunError("a fault")
        return original(self, batch, index)  # type: ignore[arg-type]

    monkeypatch.setattr(TrainingModule, "training_step", step)
    status, _, said = command("train", *TINY, HERE)
    assert (status, said.strip().splitlines()[-1]) == (2, "a fault")
    run = Run(Path("outputs/deep/run"))
    assert run.status()["status"] == "failed"
    assert run.has_trained
    answer = command("train", *TINY, HERE)
    assert "already holds a run" in answer.err


def test_a_run_that_was_killed_before_its_first_step_makes_room(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        with claimed_run(tmp_path / "run") as run:
            run.config_file.write_text("half of a config")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    status = Run(tmp_path / "run").status()
    assert (status["status"], status["error"]) == ("interrupted", "its process was killed")
    with claimed_run(tmp_path / "run") as run:
        train(compose_train(*TINY), run, TINY)
    assert run.has_trained
    with pytest.raises(RunError, match="already holds a run"), claimed_run(tmp_path / "run"):
        pass


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("data.path=OTHER", "data.path=OTHER: the run was made with data=toy, which has no such key"),
        ("data=text_files", "data=text_files: the run was made with data=toy, and a resumed run keeps it"),
        ("batching.context=3", "batching.context=3: the run was made with batching=stream, which has no such key"),
        ("seed=7", "seed=7: the run was made with seed=0, and a resumed run keeps it"),
        ("model.unitz=3", "model.unitz=3: there is no such key, did you mean model.units?"),
        ("modle.units=3", "modle.units=3: there is no such key, did you mean model.units?"),
        ("data.filters.year=3", "data.filters.year=3: the run was made with data=toy, which has no such key"),
        ("trainer.extra.min_epochs=3", "trainer.extra.min_epochs=3: the run was made with trainer"),
    ],
)
def test_what_a_resumed_run_cannot_change_is_explained(
    typed: str, reason: str, toy_run: Run, command: Callable[..., Answer]
) -> None:
    status, _, said = command("train", f"resume={toy_run.directory}", typed)
    assert status == 2
    assert said.startswith(reason)
    assert len(said.strip().splitlines()) == 1


def test_a_path_may_be_typed_again(tmp_path: Path, command: Callable[..., Answer]) -> None:
    Path("text.txt").write_text("learn deep " * 300)
    text = ["data=text_files", "data.path=text.txt"]
    assert command("train", *TINY, *text, HERE).status == 0
    answer = command("train", "resume=outputs/deep/run", "data.path=text.txt", "trainer.max_epochs=2")
    assert answer.status == 0, answer.err
    answer = command("train", "resume=outputs/deep/run", "data.path=other.txt")
    assert "data.path=other.txt: the run was made with data.path=text.txt, and a resumed run keeps it" in answer.err


def test_the_message_on_a_completed_run_can_be_followed(tmp_path: Path, command: Callable[..., Answer]) -> None:
    given = ["trainer.early_stopping_patience=1", "optimizer.learning_rate=1e-12", "trainer.max_epochs=2"]
    assert command("train", *TINY, *given, HERE).status == 0
    run = Run(Path("outputs/deep/run"))
    before = run.results()["steps"]
    said = command("train", "resume=outputs/deep/run").err.strip().splitlines()[-1]
    typed = said.partition("to train it further: textloom ")[2].split()
    assert typed == ["train", "resume=outputs/deep/run", "trainer.max_epochs=4", "trainer.early_stopping_patience=2"]
    assert command(*typed).status == 0
    assert run.results()["steps"] > before


def test_a_directory_whose_name_is_not_utf_8_is_refused_before_training(tmp_path: Path) -> None:
    place = tmp_path / os.fsdecode(b"\xe9t\xe9")
    with pytest.raises(RunError, match="its path is not UTF-8; rename the folder"), claimed_run(place):
        pass
    assert not place.exists()
