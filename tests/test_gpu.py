"""On a machine with a GPU: it is used, and runs that it trained can be used on a CPU."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from conftest import TINY, compose_train, train_run
from textloom.config import CELLS
from textloom.data.encoding import load_splits
from textloom.evaluation.evaluate import score
from textloom.generation import generate as generating
from textloom.generation.generate import generate
from textloom.generation.sampling import Sampling
from textloom.models.cell import Cell
from textloom.models.state import State
from textloom.runs.checkpoints import load_model
from textloom.runs.run import Run
from textloom.system.files import read_json
from textloom.training import loss, precision

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")]


@pytest.mark.parametrize("batching", ["stream", "windows", "documents"])
def test_a_run_trained_on_a_gpu_evaluates_and_generates_on_a_cpu(batching: str, tmp_path: Path) -> None:
    run = train_run(tmp_path / "run", f"batching={batching}", "trainer.max_epochs=2")
    assert read_json(run.provenance_file)["device"] == "cuda"
    config, tokenizer, model = load_model(run, "best")
    found = score(model, load_splits(run.tokens)["val"], config.batching, config.trainer.batch_size)
    assert found.loss == pytest.approx(run.results()["val/loss"], rel=1e-3)
    assert generate(model, tokenizer, "deep", 20, Sampling(0)).startswith("deep")


def test_sampled_words_and_consistency_train_on_a_gpu(tmp_path: Path) -> None:
    keys = ["trainer.softmax_samples=20", "trainer.consistency_regularization=1", "model.output_dropout=0.3"]
    assert train_run(tmp_path / "run", "trainer.max_epochs=3", *keys).results()["val/loss"] < 3.3


@pytest.mark.parametrize("cell", CELLS.names)
def test_each_cell_trains_on_a_gpu_and_generates_there_what_it_does_on_a_cpu(cell: str, tmp_path: Path) -> None:
    run = train_run(tmp_path / "run", f"model={cell}", "model.layers=2")
    assert run.results()["val/loss"] < 5
    _, tokenizer, model = load_model(run, "best")
    on_cpu = generate(model, tokenizer, "deep", 20, Sampling(0))
    assert generate(model.cuda(), tokenizer, "deep", 20, Sampling(0)) == on_cpu


@pytest.mark.parametrize(
    "override", ["trainer.batch_size=auto", "trainer.precision=bf16-mixed", "trainer.precision=16-mixed"]
)
def test_what_depends_on_the_device_is_chosen_and_trains(override: str, tmp_path: Path) -> None:
    run = train_run(tmp_path / "run", override)
    assert run.results()["train/peak_memory_bytes"] > 0
    assert run.results()["val/loss"] < 5


def test_the_number_format_of_recurrent_layers_is_logged() -> None:
    chosen = precision.choose_precision(compose_train("model.units=8"), torch.device("cuda"), 65)
    assert chosen == ("bf16-mixed", "the GPU multiplies bf16; torch computes lstm layers in float16 there")
    chosen = precision.choose_precision(compose_train("model=mingru", "model.units=8"), torch.device("cuda"), 65)
    assert chosen == ("bf16-mixed", "the GPU multiplies bf16")


class Lerp(Cell):
    """A cell that mixes number formats under autocast: torch.lerp refuses tensors of two types."""

    def __init__(self, units: int):
        super().__init__()
        self.linear = torch.nn.Linear(units, units)

    def initial_state(self, batch_size: int) -> tuple[torch.Tensor, ...]:
        return (self.linear.weight.new_zeros(batch_size, self.linear.out_features),)

    def forward(self, vectors: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        hidden, (last,) = self.linear(vectors), state
        return hidden, (torch.lerp(last, hidden[:, -1], 0.5),)


def test_a_cell_that_cannot_compute_bf16_trains_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "build_cell", lambda model, size: Lerp(model.units))
    chosen = precision.choose_precision(compose_train("model.units=8"), torch.device("cuda"), 65)
    assert chosen == ("32-true", "bf16 lstm layers cannot be computed here")


def test_a_counting_model_runs_where_there_is_a_gpu(tmp_path: Path) -> None:
    assert train_run(tmp_path / "run", "experiment=ngram").results()["val/loss"] < 3


def test_trials_share_a_gpu(tmp_path: Path) -> None:
    sweep = ["-m", "sweep.launcher=workers", "sweep.trials_per_gpu=2", "sweep.parallel=2", "seed=0,1", "sweep.name=two"]
    command = [sys.executable, "-m", "textloom", "train", *TINY, *sweep]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    runs = [Run(file.parent) for file in tmp_path.glob("outputs/sweeps/two/*/results.json")]
    assert [read_json(run.provenance_file)["device"] for run in runs] == ["cuda", "cuda"]


@pytest.mark.parametrize("window", [None, 6])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_a_gpu_generates_what_a_cpu_does_recorded_steps_too(
    cell: str, window: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from generation.test_decoder import TOKENIZER, build

    recorded = []
    record = generating._recorded
    monkeypatch.setattr(generating, "_recorded", lambda *given: recorded.append(1) or record(*given))
    model = build(cell, 2)  # type: ignore[arg-type]
    length = generating.RECORDING_PAYS + 50
    on_cpu = generating.generate_texts(model, TOKENIZER, "deep", length, [Sampling(0), Sampling(0.7)], window, 1)
    on_gpu = generating.generate_texts(model.cuda(), TOKENIZER, "deep", length, [Sampling(0), Sampling(0.7)], window, 1)
    assert recorded == [1]
    assert on_gpu[0] == on_cpu[0]
    assert on_gpu[1][:40] == on_cpu[1][:40]  # rounding may part the draws later


def test_samples_are_written_in_a_deterministic_training_too(tmp_path: Path) -> None:
    run = train_run(tmp_path / "run", "trainer.deterministic=true")
    assert run.samples_file.read_text("utf-8")
    assert torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("cell", CELLS.names)
def test_resume_equals_never_stopped_on_a_gpu(cell: str, tmp_path: Path) -> None:
    from training.test_resume import BASE, assert_equal_runs, resume, start

    keys = [*TINY, *BASE, f"model={cell}"]
    whole = start(tmp_path / "whole", keys)
    start(tmp_path / "part", [*keys, "trainer.max_epochs=1"])
    assert_equal_runs(resume(tmp_path / "part", ["trainer.max_epochs=3"]), whole)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_training_with_dropout_between_layers_warns_of_nothing(
    precision: str, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    train_run(tmp_path / "run", "model.layers=2", "model.layer_dropout=0.3", f"trainer.precision={precision}")
    assert [str(warning.message) for warning in recwarn] == []


def test_the_loss_of_all_logits_at_once_is_that_of_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, weight = (torch.randn(rows, 16, device="cuda", requires_grad=True) for rows in (64, 500))
    bias, targets = torch.randn(500, device="cuda", requires_grad=True), torch.randint(500, (64,), device="cuda")
    found = []
    for most in (loss.LOGITS_FOR_TORCH, {}):
        monkeypatch.setattr(loss, "LOGITS_FOR_TORCH", most)
        nats = loss.softmax_cross_entropy(hidden, weight, bias, targets)
        found.append([nats, *torch.autograd.grad(nats, [hidden, weight, bias])])
    for at_once, in_slices in zip(*found, strict=True):
        torch.testing.assert_close(at_once, in_slices)
