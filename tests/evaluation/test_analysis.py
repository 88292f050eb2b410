"""Calibration, loss by position and by frequency: by hand, and as TensorBoard reads them."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_scoring import fitted

import textloom
from conftest import Answer
from textloom.data.encoding import load_splits
from textloom.evaluation.analysis import calibration, calibration_error, loss_by_frequency, loss_by_position
from textloom.evaluation.token_scores import TokenScores
from textloom.runs.run import Run

Command = Callable[..., Answer]


@pytest.fixture
def run(toy_run: Run, tmp_path: Path) -> Run:
    """A copy of the run on the toy text, which may be written to."""
    shutil.copytree(toy_run.directory, tmp_path / "outputs/toy")
    return Run(Path("outputs/toy"))


def scores_of(tmp_path: Path, tokens: list[int], boundaries: list[int]) -> TokenScores:
    _, part = fitted(tmp_path)
    made = replace(part, tokens=np.array(tokens, dtype=np.uint8), boundaries=np.array(boundaries))
    scores = TokenScores(made)
    scores.nats[:] = np.arange(len(tokens) - 1)
    return scores


def test_calibration_error_by_hand(tmp_path: Path) -> None:
    """Two tokens of probability .9, one of them right; two of probability .5, one of them right; one of .1, wrong."""
    scores = scores_of(tmp_path, [1, 5, 5, 5, 5, 1], [0, 5])
    scores.confidences[:] = [0.9, 0.9, 0.5, 0.5, 0.1]
    scores.correct[:] = [True, False, True, False, False]
    assert calibration_error(scores) == pytest.approx((2 * 0.4 + 2 * 0.0 + 0.1) / 5, abs=1e-6)
    curve = calibration(scores)
    assert curve.firsts.tolist() == [10, 50, 90]
    assert curve.means.tolist() == [0.0, 0.5, 0.5]


def test_loss_by_position_begins_anew_in_each_document(tmp_path: Path) -> None:
    scores = scores_of(tmp_path, [1, 5, 5, 5, 1, 5, 1], [0, 4, 6])
    curve = loss_by_position(scores)
    assert curve.firsts.tolist() == [0, 1, 3]
    assert curve.counts.tolist() == [2, 3, 1]
    assert curve.means.tolist() == [(0 + 4) / 2, (1 + 2 + 5) / 3, 3]


def test_loss_by_frequency_counts_the_training_split(tmp_path: Path) -> None:
    scores = scores_of(tmp_path, [1, 2, 3, 4, 2], [0, 4])
    curve = loss_by_frequency(scores, np.array([2] * 5 + [3], dtype=np.uint8))
    assert curve.firsts.tolist() == [0, 1, 4]
    assert curve.means.tolist() == [2, 1, (0 + 3) / 2]


def test_tensorboard_reads_the_curves_of_the_latest_analysis(run: Run, command: Command) -> None:
    loaded = textloom.load(run.directory)
    plain = loaded.evaluate()
    for _ in range(2):
        found = loaded.evaluate(analysis=True)
    assert {name: value for name, value in found.items() if not name.endswith("calibration_error")} == plain
    events = EventAccumulator(str(run.analysis("stream")))
    events.Reload()
    for name, part in load_splits(run.tokens).items():
        if name != "train":
            assert events.Scalars(f"{name}/calibration_error")[0].value == pytest.approx(
                found[f"{name}/calibration_error"]
            )
            curve = events.Scalars(f"{name}/loss_by_position")
            assert [point.step for point in curve][:4] == [0, 1, 3, 7]
            assert len({point.step for point in curve}) == len(curve)  # of one analysis, not of two
            assert f"{name}/loss_by_frequency" in events.Tags()["scalars"]
            assert f"{name}/loss_by_frequency/text_summary" in events.Tags()["tensors"]
            assert part.targets > 0
    shown = command("evaluate", f"run={run.directory}", "analysis=true", "cache=true")
    assert "val/calibration_error: 0." in shown.out
    Path("one.txt").write_text("deep learning")
    loaded.evaluate(analysis=True, data={"path": "one.txt"})  # beside the curves of the splits
    folders = {folder.relative_to(run.directory).as_posix() for folder in run.directory.glob("analysis/*")}
    assert folders == {"analysis/stream", "analysis/stream+cache", "analysis/text"}


def test_the_loss_by_position_adds_up_to_the_loss(tmp_path: Path) -> None:
    scores = scores_of(tmp_path, [1, *range(2, 60), 1], [0, 20, 59])
    for curve in (loss_by_position(scores), loss_by_frequency(scores, np.arange(3, 40))):
        assert (curve.counts * curve.means).sum() == pytest.approx(scores.nats.sum())


def test_an_export_is_not_written_to(run: Run, tmp_path: Path) -> None:
    export = textloom.load(textloom.load(run.directory).export(tmp_path / "export"))
    with pytest.raises(textloom.ConfigError, match="analysis=true: writes into the run directory"):
        export.evaluate(analysis=True)
