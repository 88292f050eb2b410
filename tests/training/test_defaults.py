"""Keys that a config leaves open: numbers that suit the text, logged, and written into the run's config."""

from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import TINY, compose_train, train_run
from textloom.data.encoding import TokenSplit, load_splits
from textloom.tokenizers import load_tokenizer
from textloom.training.advice import unigram_loss
from textloom.training.defaults import STEPS_PER_EPOCH, OpenConfig, complete_config
from textloom.training.preparation import EncodedText
from textloom.training.resume import resumed_config

OPEN = ("batch_size", "max_epochs", "val_check_interval")


def text_of(targets: int, documents: int = 1, characters: int | None = None) -> TokenSplit:
    """A training split of some length; its tokens are never read."""
    tokens = np.broadcast_to(np.zeros(1, dtype=np.uint16), targets + 1)
    boundaries = np.linspace(0, targets, documents + 1).astype(np.int64)
    return TokenSplit(tokens, boundaries, characters or targets, 0, 0.0)


def completed(text: TokenSplit, *overrides: str, ranks: int = 1) -> tuple[dict[str, object], list[str]]:
    """The values chosen for a text, and the lines that say so."""
    given = OpenConfig(compose_train(*overrides), text, 65, torch.device("cpu"), ranks)
    config, choices = complete_config(given)
    values = {key: getattr(config.trainer, key) for key in OPEN}
    return {"units": config.model.units, "dropout": config.model.output_dropout, **values}, list(map(str, choices))


@pytest.mark.parametrize(
    ("characters", "units", "rows", "epochs", "interval"),
    [
        (8_000, 128, 8, 200, 80),
        (600_000, 256, 32, 18, 1.0),
        (80_000_000, 512, 64, 1, 4_883),
    ],
)
def test_short_and_long_texts_get_values_of_their_own(
    characters: int, units: int, rows: int, epochs: int, interval: float
) -> None:
    values, lines = completed(text_of(characters))
    assert (values["units"], values["batch_size"], values["max_epochs"]) == (units, rows, epochs)
    assert values["val_check_interval"] == interval
    assert len(lines) == 5
    assert lines[0] == f"model.units: {units}, for a text of {characters:,} characters"


@pytest.mark.parametrize("batching", ["stream", "documents", "windows"])
@pytest.mark.parametrize("targets", [500, 20_000, 300_000, 5_000_000])
def test_an_epoch_has_enough_steps_unless_the_batch_is_as_small_as_it_gets(batching: str, targets: int) -> None:
    text = text_of(targets, documents=max(1, targets // 150))
    values, _ = completed(text, f"batching={batching}", "trainer.max_epochs=1")
    config = compose_train(f"batching={batching}").batching
    steps = targets // (int(values["batch_size"]) * getattr(config, "steps", 1))
    assert steps >= STEPS_PER_EPOCH or values["batch_size"] in (8, 64, text.documents)


def test_what_is_typed_is_kept() -> None:
    typed = ["model.units=40", "model.output_dropout=0.25", "trainer.batch_size=5", "trainer.max_epochs=7"]
    values, lines = completed(text_of(600_000), *typed, "trainer.val_check_interval=0.5")
    assert list(values.values()) == [40, 0.25, 5, 7, 0.5]
    assert lines == []


def test_a_limit_of_steps_is_within_the_epochs() -> None:
    few, _ = completed(text_of(600_000))
    many, _ = completed(text_of(600_000), "trainer.max_steps=40000")
    assert many["max_epochs"] * (600_000 / (64 * 32)) >= 40000 > few["max_epochs"] * (600_000 / (64 * 32))


def test_several_devices_share_the_rows() -> None:
    alone, _ = completed(text_of(5_000_000))
    four, _ = completed(text_of(5_000_000), ranks=4)
    assert four["batch_size"] == alone["batch_size"] // 4


def test_tied_weights_have_an_embedding_of_the_chosen_size() -> None:
    tied = OpenConfig(compose_train("model.tied_weights=true"), text_of(600_000), 65, torch.device("cpu"), ranks=1)
    model = complete_config(tied)[0].model
    assert model.units == model.embedding_dim == 256


def test_a_run_keeps_the_chosen_numbers_and_resumes_with_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        run = train_run(tmp_path / "run", "trainer.max_epochs=1", "samples.length=1")
    config = run.config()
    assert config.trainer.rows == 8
    assert "trainer.batch_size: 8, for 6,959 targets" in caplog.messages
    assert resumed_config(run, [*TINY[:1], "trainer.max_epochs=2"]).trainer.rows == 8


@pytest.mark.slow
@pytest.mark.parametrize("tokenizer", ["char", "word"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_the_first_epoch_learns_more_than_token_frequencies(
    cell: str, layers: int, tokenizer: str, real_data: Path, tmp_path: Path
) -> None:
    shakespeare = (real_data / "tinyshakespeare/input.txt").read_text("utf-8")
    (tmp_path / "book.txt").write_text(shakespeare[:200_000], "utf-8")
    given = ["data=text_files", f"data.path={tmp_path}/book.txt", f"tokenizer={tokenizer}", f"model={cell}"]
    run = train_run(tmp_path / "run", *given, f"model.layers={layers}", "model.units=null", "trainer.max_epochs=1")
    prepared = EncodedText(load_tokenizer(run.tokenizer_file), load_splits(run.tokens))
    assert run.results()["val/loss"] < 0.97 * unigram_loss(prepared)
