"""On a machine with a GPU: it is used, and what it trained serves on a CPU."""

from pathlib import Path

import pytest
import torch

from conftest import TINY, train_run
from textloom.checkpoints import load_model
from textloom.data.encoding import load_splits
from textloom.evaluation.evaluate import score
from textloom.files import read_json
from textloom.generation.generate import generate
from textloom.generation.sampling import Sampling

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")]


@pytest.mark.parametrize("batching", ["stream", "windows", "documents"])
def test_a_run_trained_on_a_gpu_evaluates_and_generates_on_a_cpu(batching: str, tmp_path: Path) -> None:
    run = train_run(tmp_path / "run", f"batching={batching}", "trainer.max_epochs=2")
    assert read_json(run.provenance_file)["device"] == "cuda"
    config, tokenizer, model = load_model(run, "best")
    found = score(model, load_splits(run.tokens)["val"], config.batching, config.trainer.batch_size)
    assert found.loss == pytest.approx(run.results()["val/loss"], rel=1e-3)
    assert generate(model, tokenizer, "deep", 20, Sampling(0)).startswith("deep")


def test_resume_equals_never_stopped_on_a_gpu(tmp_path: Path) -> None:
    from training.test_resume import BASE, assert_equal_runs, resume, start

    whole = start(tmp_path / "whole", [*TINY, *BASE])
    start(tmp_path / "part", [*TINY, *BASE, "trainer.max_epochs=1"])
    assert_equal_runs(resume(tmp_path / "part", ["trainer.max_epochs=3"]), whole)
