"""The number format of training: the fastest that this machine can compute."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from conftest import compose_train, train_run
from textloom.errors import ConfigError
from textloom.system.files import read_json, write_json
from textloom.training import precision as module
from textloom.training.precision import Shape, choose_precision, measured_gain

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _own_measurements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTLOOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "_cpu_multiplies_bf16", lambda: True)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_auto_takes_what_is_faster_and_says_what_was_measured(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = compose_train(f"model={cell}", "model.units=32", "trainer.batch_size=8", "batching.steps=16")
    gain = measured_gain(Shape.of(config, config.model, 65))
    assert 0.02 < gain < 50
    for gain, expected in ((1.9, "bf16-mixed"), (1.1, "32-true"), (0.4, "32-true")):
        monkeypatch.setattr(module, "_known_gain", lambda shape, gain=gain: gain)
        chosen, reason = choose_precision(config, CPU, 65)
        assert chosen == expected
        assert f"bf16 is {gain:.2f} times as fast as float32 for {cell} here, measured on 32 units, " in reason
        assert ("used from 1.2 times on" in reason) == (gain == 1.1)  # faster, and yet not used: it says why


def test_a_measurement_is_kept_so_that_the_same_command_chooses_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    gains = iter([2.0, 0.5, 0.5])
    monkeypatch.setattr(module, "measured_gain", lambda shape: next(gains))
    chosen = [choose_precision(compose_train("model.units=32"), CPU, 65)[0] for _ in range(2)]
    assert chosen == ["bf16-mixed", "bf16-mixed"]
    assert choose_precision(compose_train("model.units=48"), CPU, 65)[0] == "32-true"
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert choose_precision(compose_train("model.units=32"), CPU, 65)[0] == "32-true"


def test_the_first_step_in_each_number_format_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    config = compose_train("model.units=8")
    measured: dict[torch.dtype | None, list[float]] = {None: [9.0, 0.3, 0.2], torch.bfloat16: [0.4, 0.1, 0.2]}
    monkeypatch.setattr(module, "TURNS", 2)
    monkeypatch.setattr(module, "_seconds", lambda cell, softmax, shape, dtype: measured[dtype].pop(0))
    assert measured_gain(Shape.of(config, config.model, 65)) == pytest.approx(2)


def test_measuring_uses_up_no_random_numbers() -> None:
    config = compose_train("model=gru", "model.units=8", "trainer.batch_size=2", "batching.steps=4")
    torch.manual_seed(1)
    before = torch.get_rng_state()
    measured_gain(Shape.of(config, config.model, 65))
    assert torch.equal(torch.get_rng_state(), before)


def test_without_instructions_for_bf16_it_is_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_cpu_multiplies_bf16", lambda: False)
    assert choose_precision(compose_train(), CPU, 65) == ("32-true", "no bf16 in this hardware")


@pytest.mark.parametrize(
    ("supported", "layers", "expected"),
    [
        (True, torch.bfloat16, ("bf16-mixed", "the GPU multiplies bf16")),
        (True, torch.float16, ("bf16-mixed", "the GPU multiplies bf16; torch computes lstm layers in float16 there")),
        (False, torch.bfloat16, ("32-true", "no bf16 in this hardware")),
    ],
)
def test_a_gpu_takes_bf16_where_it_has_it_and_says_what_the_layers_take(
    supported: bool, layers: torch.dtype, expected: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    monkeypatch.setattr(module, "_try_step", lambda model, device, dtype: layers)
    assert choose_precision(compose_train(), torch.device("cuda"), 65) == expected


def test_a_precision_that_cannot_be_computed_is_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> torch.Tensor:
        raise RuntimeError("could not create a primitive descriptor\nin many lines")

    monkeypatch.setattr(module, "_hidden", fail)
    for precision in ("bf16-mixed", "16-mixed"):
        with pytest.raises(ConfigError, match=rf"trainer\.precision={precision}: .*; set trainer\.precision=auto"):
            train_run(tmp_path / precision, f"trainer.precision={precision}")
    assert choose_precision(compose_train("model.units=32"), CPU, 65)[0] == "32-true"


def test_a_resumed_run_keeps_its_number_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from training.test_resume import resume

    caplog.set_level(logging.INFO)
    monkeypatch.setattr(module, "_known_gain", lambda shape: 0.5)
    run = train_run(tmp_path / "run", "trainer.accelerator=cpu")
    made = read_json(run.provenance_file)
    assert made["precision"] == "32-true"
    assert "precision: 32-true (bf16 is 0.50 times as fast" in caplog.text
    monkeypatch.setattr(module, "_known_gain", lambda shape: 2.0)
    resume(run.directory, ["trainer.max_epochs=2"])
    assert "precision: 32-true (unchanged)" in caplog.text
    write_json(run.provenance_file, {**made, "device": "cuda"})
    resume(run.directory, ["trainer.max_epochs=3"])
    assert "precision: bf16-mixed (bf16 is 2.00 times as fast" in caplog.text


ASK = """
import torch
from conftest import compose_train
from textloom.errors import ConfigError
from textloom.training.precision import check_precision, choose_precision
cpu = torch.device("cpu")
print(choose_precision(compose_train("model.units=64"), cpu, 65)[0])
try:
    check_precision(compose_train("trainer.precision=bf16-mixed"), cpu)
except ConfigError as error:
    print(error)
"""


@pytest.mark.parametrize("isa", ["AVX2", "AVX512_CORE"])
def test_less_than_the_processor_has_is_noticed(isa: str) -> None:
    """With instructions disabled in oneDNN ``auto`` is float32, and a precision that cannot be computed is refused."""
    paths = [str(Path(__file__).parent), str(Path(module.__file__).parents[2])]
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": isa, "PYTHONPATH": os.pathsep.join(paths)}
    found = subprocess.run([sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, check=True)
    chosen, *refused = found.stdout.splitlines()
    assert chosen == "32-true"
    if refused:  # without AVX-512 oneDNN has no bf16 LSTM, with it a slow one
        assert len(refused) == 1
        assert refused[0].startswith("trainer.precision=bf16-mixed: this machine cannot compute lstm layers in it (")


def test_the_softmax_of_a_large_vocabulary_is_measured_with_the_cell() -> None:
    tied = ["model=awd_lstm", "model.units=8", "model.embedding_dim=4", "model.tied_weights=true"]
    shape = Shape.of(config := compose_train(*tied, "batching.steps=16"), config.model, 10_000)
    assert (shape.vocabulary, shape.targets) == (module.LARGEST_VOCABULARY, 16)
    assert measured_gain(shape) > 0
    windows = compose_train("batching=windows", "model.units=8")
    assert Shape.of(windows, windows.model, 65).targets == 1


@pytest.mark.parametrize(("rows", "steps", "measured"), [(1, 1024, 512), (4, 1024, 128), (32, 1024, 32), (1, 20, 20)])
def test_a_few_rows_are_measured_with_more_steps(rows: int, steps: int, measured: int) -> None:
    """The gates of minGRU are products over all steps: with 32 steps of one row bf16 did not seem to gain."""
    config = compose_train("model=mingru", "model.units=8", f"trainer.batch_size={rows}", f"batching.steps={steps}")
    assert Shape.of(config, config.model, 65).steps == measured


def test_the_first_layer_is_measured_with_the_vectors_that_it_reads() -> None:
    """With 640 units and vectors of 64 bf16 gained 1.9 times, with vectors as long as the units 1.2 times."""
    embedded = compose_train("model.units=96", "model.embedding_dim=24")
    one_hot = compose_train("model.units=96", "model.embedding_dim=null")
    assert Shape.of(embedded, embedded.model, 65).inputs == 24
    assert Shape.of(one_hot, one_hot.model, 65).inputs == 65
    assert measured_gain(Shape.of(one_hot, one_hot.model, 65)) > 0
