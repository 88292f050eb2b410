"""Help names every command and key, and a key that does not exist leads to the right one."""

import signal
import sys
from collections.abc import Callable, Iterator

import pytest

from conftest import Answer
from textloom.cli.start import start
from textloom.config import GenerateConfig, TrainConfig
from textloom.config.keys import Form, keys_of, known_keys
from textloom.config.suggestions import SYNONYMS, nearest_key

Command = Callable[..., Answer]


def test_the_overview_has_a_line_for_each_command_and_the_version(command: Command) -> None:
    for typed in ([], ["--help"], ["help"]):
        answer = command(*typed)
        assert answer.status == 0
        for name in ("train", "prepare", "generate", "evaluate", "compare", "inspect", "export", "serve", "play"):
            assert any(line.split()[:1] == [name] and len(line.split()) > 2 for line in answer.out.splitlines())
    assert command("--version").out.startswith("textloom ")
    assert command("train", "--version").out == command("version").out


@pytest.mark.parametrize(
    "name", ["train", "prepare", "generate", "evaluate", "compare", "inspect", "export", "serve", "play"]
)
def test_the_help_of_a_command_has_a_line_for_each_key_at_80_columns(
    command: Command, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    answer = command(name, "--help")
    assert answer.status == 0
    lines = answer.out.splitlines()
    assert max(map(len, lines)) <= 80
    if name in ("train", "generate"):
        schema = TrainConfig if name == "train" else GenerateConfig
        keys = [key for key in keys_of(schema).values() if key.form is not Form.GROUP and not key.is_kind]
        named = {line.split()[0] for line in lines if line.startswith("    ") and line.split()}
        for key in keys:
            _, _, inner = key.name.partition(".")
            assert key.description, key.name
            assert (inner or key.name) in named, key.name


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("optimizer.lr", "optimizer.learning_rate"),
        ("lr", "optimizer.learning_rate"),
        ("learning_rate", "optimizer.learning_rate"),
        ("model.hidden_size", "model.units"),
        ("hidden_size", "model.units"),
        ("trainer.epochs", "trainer.max_epochs"),
        ("epochs", "trainer.max_epochs"),
        ("max_epoch", "trainer.max_epochs"),
        ("batch_size", "trainer.batch_size"),
        ("data.batch_size", "trainer.batch_size"),
        ("dropout", "model.output_dropout, model.input_dropout or model.layer_dropout"),
        ("num_layers", "model.layers"),
        ("model.embedding_size", "model.embedding_dim"),
        ("learning_rte", "optimizer.learning_rate"),
        ("trainer.grad_clip", "trainer.gradient_clip_val"),
        ("vocab_size", "tokenizer.maximum_size"),
        ("model.unit", "model.units"),
        ("modle", "model"),
    ],
)
def test_a_key_of_another_program_or_a_slip_leads_to_ours(command: Command, typed: str, meant: str) -> None:
    answer = command("train", f"{typed}=3")
    assert answer.status == 2
    assert answer.err.startswith(f"{typed}: there is no such key, did you mean {meant}?")
    assert len(answer.err.splitlines()) == 1


def test_every_synonym_leads_to_a_key() -> None:
    known = {schema: known_keys(schema) for schema in (TrainConfig, GenerateConfig)}
    for others in SYNONYMS:
        for name in others:
            assert any(nearest_key(name, keys) for keys in known.values()), name


def test_what_is_like_no_key_is_not_guessed() -> None:
    assert nearest_key("zzzzqqq", known_keys(GenerateConfig)) == ""


@pytest.fixture
def default_sigterm() -> Iterator[None]:
    """SIGTERM as it is at the start of a process; a library that another test used may have set a handler."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("place", ["textloom.cli.commands.run_command", "textloom.cli.commands.overview"])
def test_ctrl_c_and_sigterm_are_one_line_wherever_they_arrive(
    place: str,
    number: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    default_sigterm: None,
) -> None:
    def interrupted(*_: object) -> None:
        signal.raise_signal(number)

    monkeypatch.setattr(place, interrupted)
    monkeypatch.setattr(sys, "argv", ["textloom", "evaluate" if place.endswith("command") else "--help"])
    with pytest.raises(SystemExit) as ended:
        start()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "stopped\n"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_an_error_of_cleaning_up_after_ctrl_c_is_ctrl_c(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise UnboundLocalError("the file was not opened yet")

    monkeypatch.setattr("textloom.cli.commands.overview", interrupted)
    monkeypatch.setattr(sys, "argv", ["textloom", "--help"])
    with pytest.raises(SystemExit) as ended:
        start()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "stopped\n"
    monkeypatch.setattr("textloom.cli.commands.overview", lambda _: [][1])
    with pytest.raises(IndexError):
        start()
