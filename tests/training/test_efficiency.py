"""Hardware efficiency and profiles of a training."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from conftest import compose_train, train_run
from textloom.batching.windows import Windows
from textloom.config import ModelConfig
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.runs.run import Run
from textloom.system.memory import peak_resident_bytes
from textloom.training.callbacks.efficiency import flops_per_target, peak_flops_per_second
from training.test_train import curves

FIGURES = ("train/model_flops_per_second", "train/flop_utilisation", "train/peak_memory_bytes")


def model_config(*overrides: str) -> ModelConfig:
    model = compose_train(*overrides).model
    assert isinstance(model, ModelConfig)
    return model


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_the_flops_are_those_of_the_matrix_products_of_a_forward_and_a_backward_pass(cell: str) -> None:
    """One hidden layer above an embedding, counted by torch itself on cells that it can see into."""
    config = model_config(f"model={cell}", "model.units=8", "model.embedding_dim=5", "model.layers=2")
    model = RecurrentLanguageModel(config, vocabulary_size=11)
    rows = 7
    units = {"lstm": 4, "gru": 3, "rnn": 1}[cell] * 8
    with FlopCounterMode(display=False) as counter:
        hidden = torch.zeros(rows, 8, requires_grad=True)
        for inputs in (5, 8):
            below = torch.zeros(rows, inputs, requires_grad=True)
            for left in (below, hidden):
                weight = torch.zeros(units, left.shape[1], requires_grad=True)
                torch.nn.functional.linear(left, weight).sum().backward()
        model.logits(hidden).sum().backward()
    assert rows * flops_per_target(config, 11, steps_per_target=1) == counter.get_total_flops()


def test_one_hot_input_is_a_look_up_and_windows_read_their_context_for_each_target(toy_run: Run) -> None:
    one_hot = model_config("model=rnn", "model.units=10", "model.embedding_dim=null")
    assert flops_per_target(one_hot, 50, 1.0) == 6 * (10 * 10 + 10 * 50)
    assert flops_per_target(one_hot, 50, 4.0) == 6 * (4 * 10 * 10 + 10 * 50)
    from textloom.data.encoding import load_splits

    part = load_splits(toy_run.tokens)["val"]
    windows = Windows(part, 64, context=9)
    read = sum(int((batch.positions % 9 + 1).sum()) for batch in windows.batches(0) if batch.positions is not None)
    assert windows.steps_per_target == pytest.approx(read / part.targets)


def test_every_run_tells_its_flops_their_share_of_the_peak_and_its_memory(toy_run: Run) -> None:
    results, written = toy_run.results(), curves(toy_run)
    for name in FIGURES:
        assert all(math.isfinite(value) and value > 0 for _, value in written[name])
    flops = flops_per_target(toy_run.config().model, results["vocabulary_size"], 1.0)  # type: ignore[arg-type]
    assert results["train/model_flops_per_second"] == pytest.approx(flops * results["train/targets_per_second"])
    assert 50e6 < results["train/peak_memory_bytes"] < 64e9
    assert results["train/flop_utilisation"] < 1.5


def test_the_peak_is_measured_once_and_uses_up_no_random_numbers() -> None:
    before = torch.get_rng_state()
    first = peak_flops_per_second("cpu", "32-true", 1)
    assert 1e8 < first < 1e14
    assert peak_flops_per_second("cpu", "32-true", 1) == first
    assert torch.equal(torch.get_rng_state(), before)


# --- trainer.profiler -----------------------------------------------------------------------------------------------


def test_a_trace_holds_some_steps_and_what_torch_did_in_them(tmp_path: Path) -> None:
    run = train_run(tmp_path / "run", "trainer.profiler=torch", "trainer.batch_size=4", "trainer.max_steps=20")
    events = json.loads(run.trace_file.read_text())["traceEvents"]
    steps = [event["name"] for event in events if event.get("name", "").startswith("ProfilerStep#")]
    assert len(set(steps)) == 5
    names = {event.get("name") for event in events}
    assert {"aten::mm", "aten::lstm"} & names
    assert any(name and name.startswith("Optimizer.step") for name in names)


def test_a_training_too_short_for_a_trace_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = train_run(tmp_path / "run", "trainer.profiler=torch", "trainer.max_steps=2")
    assert not run.trace_file.exists()
    assert "no trace, it starts after 6 steps" in caplog.text


def test_a_table_of_hooks(tmp_path: Path) -> None:
    run = train_run(tmp_path / "run", "trainer.profiler=simple", "trainer.max_steps=3")
    assert "training_step" in run.profile_file.read_text()


def test_profiling_changes_no_result(tmp_path: Path) -> None:
    plain, profiled = (
        train_run(tmp_path / name, f"trainer.profiler={name}", "trainer.max_steps=9", "trainer.batch_size=8")
        for name in ("null", "torch")
    )
    assert plain.results()["val/loss"] == profiled.results()["val/loss"]


def test_memory_is_that_of_the_process_itself_and_not_of_what_started_it() -> None:
    large = torch.ones(100_000_000)  # 400 MB
    command = [sys.executable, "-c", "from textloom.system.memory import peak_resident_bytes as peak; print(peak())"]
    child = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert 5e6 < child < 200e6 < 4 * len(large) < peak_resident_bytes()
