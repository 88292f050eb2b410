"""A training that starts from trained weights: the same model and tokenizer, another text, and a run of its own."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import textloom
from conftest import Answer, train_run
from textloom.runs.checkpoints import read_checkpoint
from textloom.runs.run import Run
from textloom.tokenizers import load_tokenizer

NEW = "the owl and the newt learn a new song, and sing it at noon.\n" * 60
GIVEN = ["samples.length=5", "trainer.progress_bar=false", "data=text_files", "data.path=new.txt"]


@pytest.fixture(autouse=True)
def _new_text() -> None:
    Path("new.txt").write_text(NEW)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of another size than the default."""
    return train_run(tmp_path_factory.mktemp("first") / "run", "model=gru", "model.units=24", "trainer.max_epochs=2")


def weights(run: Run, name: str = "best") -> dict[str, torch.Tensor]:
    return read_checkpoint(run.checkpoints / f"{name}.ckpt")["state_dict"]


@pytest.mark.parametrize("exported", [False, True])
def test_the_first_step_is_made_from_the_trained_weights(
    first: Run, command: Callable[..., Answer], exported: bool
) -> None:
    start = first.directory
    if exported:
        start = textloom.Run(first.directory).export("exported")
    small = ["optimizer.learning_rate=1e-12", "trainer.weight_averaging=null", "trainer.max_steps=1"]
    answer = command("train", f"start={start}", *GIVEN, *small, "hydra.run.dir=second", "model.output_dropout=0.1")
    assert answer.status == 0, answer.err
    second = Run(Path("second"))
    config = second.config()
    assert (config.model.kind, config.model.units, config.model.output_dropout) == ("gru", 24, 0.1)
    assert config.start == str(start.absolute())
    assert load_tokenizer(second.tokenizer_file) == load_tokenizer(first.tokenizer_file)
    for name, weight in weights(first).items():
        assert torch.allclose(weights(second)[name], weight, atol=1e-9), name
    made = json.loads(second.provenance_file.read_text())
    assert made["start"]["data_fingerprint"] != made["data_fingerprint"]
    assert made["start"]["name"] == "tiny"
    assert made["start"]["run"] == str(start.absolute())
    assert textloom.Run("second").generate("the owl", 10).startswith("the owl")


def test_starting_from_trained_weights_learns_the_new_text_sooner(first: Run) -> None:
    same = ["model=gru", "model.units=24", *GIVEN, "trainer.max_steps=20"]
    tuned = textloom.train(f"start={first.directory}", *same, directory="tuned")
    alone = textloom.train(*same, directory="alone")
    assert tuned.results["val/bits_per_char"] < alone.results["val/bits_per_char"]
    again = textloom.train(*same, start=first.directory, directory="again")
    assert again.results["val/loss"] == tuned.results["val/loss"]


def test_an_interrupted_run_is_resumed_exactly_without_the_first(first: Run) -> None:
    shutil.copytree(first.directory, "first")
    short = ["trainer.val_check_interval=1.0", "trainer.early_stopping_patience=null", "trainer.precision=32-true"]
    whole = textloom.train("start=first", *GIVEN, *short, "trainer.max_epochs=4", directory="whole")
    half = textloom.train("start=first", *GIVEN, *short, "trainer.max_epochs=2", directory="half")
    shutil.rmtree("first")
    resumed = half.resume("trainer.max_epochs=4")
    assert resumed.results["val/loss"] == whole.results["val/loss"]
    for name, weight in weights(Run(whole.directory), "last").items():
        assert torch.equal(weights(Run(resumed.directory), "last")[name], weight)


def test_a_run_without_a_checkpoint_begins_again_without_the_first(first: Run, command: Callable[..., Answer]) -> None:
    shutil.copytree(first.directory, "first")
    whole = textloom.train("start=first", *GIVEN, "trainer.max_steps=3", directory="whole")
    shutil.rmtree("first")
    shutil.rmtree("whole/checkpoints")
    Path("whole/status.json").unlink()
    Run(Path("whole")).mark("interrupted")
    before = whole.results["val/loss"]
    Path("whole/results.json").unlink()
    answer = command("train", "resume=whole")
    assert answer.status == 0, answer.err
    assert textloom.Run("whole").results["val/loss"] == before


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["model.units=32"], "model.units=32: the weights of {first} are for model.units=24; leave it out"),
        (["model=lstm"], "model=lstm: the weights of {first} are for model=gru; leave it out"),
        (["model.layers=2"], "model.layers=2: the weights of {first} are for model.layers=1"),
        (["tokenizer=word"], "tokenizer=word: the weights of {first} are for tokenizer=char"),
        (["tokenizer.lowercase=true"], "tokenizer.lowercase=True: the weights of {first} are for tokenizer.lowercase="),
    ],
)
def test_another_model_or_tokenizer_is_refused_with_both_sides(
    first: Run, command: Callable[..., Answer], typed: list[str], told: str
) -> None:
    answer = command("train", f"start={first.directory}", *GIVEN, *typed, "hydra.run.dir=second")
    assert answer.status == 2
    assert told.format(first=first.directory) in answer.err.splitlines()[-1]
    assert not Path("second").exists()


def test_what_has_no_weights_is_refused(command: Callable[..., Answer], tmp_path: Path) -> None:
    train_run(tmp_path / "counts", "experiment=ngram")
    for start, told in (("counts", "n-grams are counted"), ("missing", "there is no such directory")):
        answer = command("train", f"start={start}", *GIVEN, "hydra.run.dir=second")
        assert answer.status == 2
        assert told in answer.err.splitlines()[-1]
    assert not Path("second").exists()
