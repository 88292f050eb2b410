"""A run can be moved, copied, linked and made read-only, and gives the same results."""

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import Answer
from textloom.errors import Interrupted
from textloom.runs.checkpoints import read_checkpoint
from textloom.runs.find import find_run
from textloom.runs.run import Run
from textloom.training.module import TrainingModule
from training.test_resume import BASE, assert_equal_runs, resume, signal_at, start

__all__ = ["signal_at"]  # a fixture

Snapshot = dict[Path, tuple[str, int, int]]


def snapshot(directory: Path) -> Snapshot:
    """Content, time of change and mode of everything in a directory."""
    found: Snapshot = {}
    for path in [directory, *sorted(directory.rglob("*"))]:
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        changed = 0 if path.name == ".lock" else path.stat().st_mtime_ns  # some versions of filelock set it anew
        found[path] = (content, changed, path.stat().st_mode)
    return found


def hard_linked(source: Path, target: Path) -> None:
    shutil.copytree(source, target, copy_function=os.link)


def linked(source: Path, target: Path) -> None:
    target.symlink_to(source)


@pytest.fixture
def cut(tmp_path: Path, signal_at: Callable[..., None]) -> Path:
    signal_at(20)
    with pytest.raises(Interrupted):
        start(tmp_path / "cut", BASE)
    return tmp_path / "cut"


@pytest.mark.parametrize("place", [shutil.move, shutil.copytree, hard_linked, linked])
def test_a_resumed_run_is_the_same_wherever_it_lies(
    place: Callable[[Path, Path], object], cut: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = start(tmp_path / "whole", BASE)
    before = snapshot(cut)
    other = tmp_path / "far" / "renamed"
    other.parent.mkdir()
    place(cut, other)
    monkeypatch.setenv("TEXTLOOM_CACHE", str(tmp_path / "another cache"))
    assert_equal_runs(resume(other), whole)
    if place in (shutil.copytree, hard_linked):
        assert snapshot(cut) == before


@pytest.mark.parametrize("place", [shutil.copytree, hard_linked, shutil.move])
def test_a_copy_that_does_not_improve_keeps_the_best_checkpoint(
    place: Callable[[Path, Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start(tmp_path / "first", [*BASE, "trainer.max_epochs=2"])
    best, before = first.checkpoint_file("best").read_bytes(), snapshot(first.directory)
    place(first.directory, tmp_path / "copy")
    copy, original = Run(tmp_path / "copy"), TrainingModule.log_dict

    def worse(self: TrainingModule, values: dict[str, float], **rest: object) -> None:
        self.score = replace(self.score, loss=values["val/loss"] + 10)
        original(self, self.score.named("val"), **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(TrainingModule, "log_dict", worse)
    resume(copy.directory, ["trainer.max_epochs=3"])
    assert copy.checkpoint_file("best").read_bytes() == best
    assert read_checkpoint(copy.checkpoint_file("last"))["epoch"] == 2
    if place is not shutil.move:
        assert snapshot(first.directory) == before


def test_a_lost_best_checkpoint_is_made_again(cut: Path, caplog: pytest.LogCaptureFixture) -> None:
    Run(cut).checkpoint_file("best").unlink()
    run = resume(cut)
    assert "the next validation makes a new best checkpoint" in caplog.text
    assert run.results()["val/loss"] > 0


@pytest.fixture(scope="module")
def far(toy_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a run, with everything that it was made from out of reach."""
    return Path(shutil.copytree(toy_run.directory, tmp_path_factory.mktemp("far") / "outputs" / "renamed"))


@pytest.mark.parametrize(
    "typed",
    [
        ["evaluate", "run=RUN"],
        ["generate", "run=RUN", "length=20", "seed=1"],
        ["generate", "run=latest", "outputs=OUTPUTS", "length=20", "seed=1"],
        ["generate", "run=best", "outputs=OUTPUTS", "length=20", "seed=1"],
        ["compare", "runs=RUN"],
        ["compare", "runs=RUN", "format=html"],
        ["inspect", "run=RUN", "tokens=50"],
        ["export", "run=RUN", "to=exported"],
        ["export", "run=RUN", "format=onnx", "to=model.onnx"],
    ],
    ids=" ".join,
)
def test_reading_writes_nothing_into_a_run(
    typed: list[str], far: Path, toy_run: Run, command: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    if "format=onnx" in typed:
        pytest.importorskip("onnxruntime")
    monkeypatch.setenv("TEXTLOOM_CACHE", str(Path("another cache").absolute()))
    before = snapshot(far)
    answer = command(*(part.replace("RUN", str(far)).replace("OUTPUTS", str(far.parent)) for part in typed))
    assert answer.status == 0, answer.err
    assert snapshot(far) == before
    if typed[0] == "evaluate":
        results = toy_run.results()
        assert answer.out.splitlines() == [f"{key}: {results[key]!r}" for key in results if key[:4] in ("val/", "test")]
    if typed[:2] == ["export", "run=RUN"] and "to=exported" in typed:
        assert command("evaluate", "run=exported").out == command("evaluate", f"run={far}").out
    if typed[1] == "run=latest":
        assert answer.out == command("generate", f"run={toy_run.directory}", "length=20", "seed=1").out


def test_a_linked_run_is_found_once(toy_run: Run, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    (outputs / "link").symlink_to(toy_run.directory)
    (outputs / "loop").symlink_to(outputs)
    assert find_run("latest", outputs).directory == outputs / "link"
    assert find_run("best", outputs).results() == toy_run.results()


def test_a_run_that_cannot_be_written_is_not_resumed(
    cut: Path, command: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != Path(cut) and real(path, mode))  # or a superuser
    before = snapshot(cut)
    status, _, said = command("train", f"resume={cut}")
    assert status == 2
    assert said == f"resume={cut}: {cut} cannot be written; copy it and resume the copy, or chmod -R u+w {cut}\n"
    assert snapshot(cut) == before


def test_files_that_were_copied_without_permission_to_write_are_no_obstacle(cut: Path, tmp_path: Path) -> None:
    whole = start(tmp_path / "whole", BASE)
    for path in (cut / "samples.txt", cut / "config.yaml", cut / "status.json"):
        path.chmod(0o444)
    assert_equal_runs(resume(cut), whole)
