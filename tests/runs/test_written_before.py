"""Runs and exports that an earlier textloom wrote: they evaluate, generate and resume as they did then.

The figures are compared to the last digit on the kind of processor and the torch that the expected ones were made with;
elsewhere sums of float32 are rounded in another order.
"""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import Answer

ARCHIVE = Path(__file__).parent / "written_by_8d8fa87.tar.xz"
NETWORKS = ["lstm_stream", "gru_words", "rnn_windows", "lstm_tied"]
GENERATION = ["prompt=deep learn", "length=40", "seed=3", "temperature=0.7"]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive's content."""
    folder = tmp_path_factory.mktemp("written_before")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def expected(unpacked: Path) -> dict[str, Any]:
    """The figures and texts of the version that wrote the runs."""
    content: dict[str, Any] = json.loads((unpacked / "expected.json").read_text())
    return content


@pytest.fixture(scope="module")
def tolerance(expected: dict[str, Any]) -> float:
    """Relative difference that a figure may have."""
    return 0 if (_processor(), torch.__version__) == (expected["processor"], expected["torch"]) else 1e-6


def _processor() -> dict[str, str]:
    """The facts about the processor that the expected figures are recorded with; empty if they are not known."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    facts = dict(line.split(":", 1) for line in text.partition("\n\n")[0].splitlines() if ":" in line)
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    return {name: facts.get(name, "") for name in ("vendor_id", "cpu family", "model", "model name", "stepping")}


def _same(figures: dict[str, float], expected: dict[str, float], tolerance: float) -> bool:
    if not tolerance:
        return figures == expected
    return figures == pytest.approx(expected, rel=tolerance)


DIRECTORIES = [*(f"runs/{name}" for name in (*NETWORKS, "ngram")), *(f"exports/{name}" for name in NETWORKS)]


@pytest.mark.parametrize("directory", DIRECTORIES)
def test_a_run_and_its_export_evaluate_and_generate_as_they_did(
    directory: str, unpacked: Path, expected: dict[str, Any], tolerance: float, command: Callable[..., Answer]
) -> None:
    run, before = f"run={unpacked / directory}", expected["runs"][Path(directory).name]

    answer = command("evaluate", run)
    assert answer.status == 0, answer.err
    figures = {key: float(value) for key, value in (line.split(": ") for line in answer.out.splitlines())}
    assert _same(figures, before["evaluated"], tolerance)

    assert command("generate", run, *GENERATION).out == before["generated"]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_run_resumes_as_it_did(
    name: str, tmp_path: Path, expected: dict[str, Any], tolerance: float, command: Callable[..., Answer]
) -> None:
    """Its third epoch gives the same validation loss as when the textloom that wrote it trained it further.

    Averaged weights have since been computed by one fused operation, which rounds differently.
    """
    with tarfile.open(ARCHIVE) as archive:
        members = [member for member in archive if member.name.startswith(f"runs/{name}/")]
        archive.extractall(tmp_path, members, filter="data")
    directory = tmp_path / "runs" / name

    answer = command("train", f"resume={directory}", "trainer.max_epochs=3", "trainer.progress_bar=false")
    assert answer.status == 0, answer.err
    results = json.loads((directory / "results.json").read_text())
    before = expected["runs"][name]["resumed"]
    averaged = name == "lstm_tied"
    assert _same({key: results[key] for key in before}, before, 1e-6 if averaged else tolerance)
    assert results["duration_seconds"] > expected["runs"][name]["duration_seconds"] > 0  # of all processes
