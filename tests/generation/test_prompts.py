"""Prompts are read in the form of the training text before anything in them is called unknown."""

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Answer, train_run
from textloom.generation.generate import generate
from textloom.generation.prompts import known_form, unknown_pieces
from textloom.generation.sampling import Sampling
from textloom.runs.checkpoints import load_model
from textloom.runs.run import Run
from textloom.tokenizers import Tokenizer
from textloom.tokenizers.byte import ByteTokenizer
from textloom.tokenizers.char import CharTokenizer
from textloom.tokenizers.word import WordTokenizer

LOWER = "the philosopher and the café, the déjà vu of an old idea\nin 1900"


@pytest.mark.parametrize("fit", [CharTokenizer.fit, WordTokenizer.fit], ids=["char", "word"])
@pytest.mark.parametrize("lowercase", [False, True])
def test_capitals_and_decomposed_letters_are_read_as_what_is_known(
    fit: Callable[..., Tokenizer], lowercase: bool
) -> None:
    tokenizer = fit([[LOWER]], lowercase=lowercase)
    for prompt in ("The philosopher", "THE DÉJÀ VU", unicodedata.normalize("NFD", "Café")):
        assert unknown_pieces(tokenizer, prompt) == []
        expected = unicodedata.normalize("NFC", prompt).lower()
        assert tokenizer.encode(known_form(tokenizer, prompt)).tolist() == tokenizer.encode(expected).tolist()
    (unknown,) = unknown_pieces(tokenizer, "The Ω")
    assert unknown in "Ωω"


def test_what_is_known_as_it_is_typed_stays() -> None:
    tokenizer = WordTokenizer.fit([["The the US us"]], lowercase=False)
    assert known_form(tokenizer, "The US of us") == "The US of us"
    assert known_form(tokenizer, "THE US") == "the US"
    assert known_form(WordTokenizer.fit([["LOUD WORDS"]], lowercase=False), "loud Words") == "LOUD WORDS"
    assert known_form(ByteTokenizer(), "The") == "The"


def test_a_prompt_is_no_warning_where_its_folded_form_is_known(command: Callable[..., Answer], tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(f"{LOWER}\n" * 30)
    train_run(tmp_path / "run", "data=text_files", f"data.path={tmp_path}/text.txt", "samples.prompt=The philosopher")
    for prompt in ("The philosopher", unicodedata.normalize("NFD", "The Café"), "the\r\nidea"):
        answer = command("generate", f"run={tmp_path}/run", f"prompt={prompt}", "length=5", "seed=1")
        assert answer.status == 0, answer.err
        assert "<unk>" not in answer.err
    answer = command("generate", f"run={tmp_path}/run", "prompt=The Ω", "length=5", "seed=1")
    assert "read as <unk>: 'Ω'" in answer.err
    assert answer.out.startswith("The Ω")


def test_a_generated_text_holds_no_lone_surrogates(toy_run: Run) -> None:
    _, tokenizer, model = load_model(toy_run, "best")
    text = generate(model, tokenizer, "deep\udce9", 20, Sampling(2.0), seed=0)
    assert text.startswith("deep\ufffd")
    text.encode()


def test_names_are_generated_from_their_beginning_after_an_export_too(
    command: Callable[..., Answer], tmp_path: Path
) -> None:
    (tmp_path / "names.txt").write_text("".join(f"Name{i}\n" for i in range(100)))
    train_run(tmp_path / "run", "data=text_files", f"data.path={tmp_path}/names.txt", "data.documents=line")
    exported = tmp_path / "exported"
    assert command("export", f"run={tmp_path}/run", f"to={exported}").status == 0
    answers = [command("generate", f"run={run}", "length=5", "seed=1") for run in (tmp_path / "run", exported)]
    assert answers[0].status == answers[1].status == 0, answers[1].err
    assert answers[0].out == answers[1].out
