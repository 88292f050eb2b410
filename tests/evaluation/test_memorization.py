"""Copies of training text are found, whatever their length and place."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import Answer
from textloom.evaluation import memorization
from textloom.evaluation.memorization import TrainingText, contained, longest_copy
from textloom.runs.run import Run
from textloom.system.files import read_json
from textloom.tokenizers.char import CharTokenizer

SOURCE = "the owl and the newt learn a song, and sing it at noon. "
TOKENIZER = CharTokenizer.fit([[SOURCE + "xyz"]], lowercase=False)
TOKENS = np.concatenate([[TOKENIZER.end_id], TOKENIZER.encode(SOURCE * 3)])


@given(st.lists(st.integers(0, 2), max_size=12), st.lists(st.integers(0, 2), max_size=40), st.integers(1, 8))
def test_windows_are_looked_up_as_by_a_plain_search(text: list[int], source: list[int], at_once: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memorization, "SEARCHED_AT_ONCE", at_once)
        for length in range(1, len(text) + 1):
            windows = [tuple(text[k : k + length]) for k in range(len(text) - length + 1)]
            there = {tuple(source[k : k + length]) for k in range(len(source) - length + 1)}
            assert contained(np.array(text), np.array(source), length).tolist() == [one in there for one in windows]
        begin, length = longest_copy(np.array(text, dtype=int), np.array(source, dtype=int))
        parts = {tuple(source[k : k + n]) for k in range(len(source)) for n in range(len(source) - k + 1)}
        own = {tuple(text[k : k + n]) for k in range(len(text)) for n in range(len(text) - k + 1)}
        longest = max(map(len, own & parts), default=0)
        assert length == longest
        assert tuple(text[begin : begin + length]) in parts or not length


def test_a_copy_is_told_from_a_new_text() -> None:
    training = TrainingText(TOKENS, TOKENIZER)
    copy = training.compare(TOKENIZER.encode("newt learn a song, and sing").tolist())
    mixed = training.compare(TOKENIZER.encode("xyz learn a song, zyx").tolist())
    new = training.compare(TOKENIZER.encode("zyx" * 9).tolist())
    assert (copy.longest_copy, copy.copied, copy.new_ngrams) == (27, "newt learn a song, and sing", 0.0)
    assert (mixed.longest_copy, mixed.copied) == (15, " learn a song, ")
    assert (new.longest_copy, new.new_ngrams) == (0, 1.0)
    assert new.distinct == 3 / (27 - 16 + 1)
    assert copy.distinct == 1.0
    assert copy.ngram_perplexity < 2 < mixed.ngram_perplexity < new.ngram_perplexity


def test_a_text_that_is_too_short_has_no_shares() -> None:
    found = TrainingText(TOKENS, TOKENIZER).compare(TOKENIZER.encode("owl").tolist())
    assert (found.longest_copy, found.new_ngrams, found.distinct) == (3, None, None)
    assert TrainingText(TOKENS, TOKENIZER).compare([]).longest_copy == 0
    assert "longest copy of training text: 3 tokens 'owl'" in str(found)


def test_generate_tells_of_it_on_request(toy_run: Run, command: Callable[..., Answer]) -> None:
    given = ["generate", f"run={toy_run.directory}", "prompt=deep learn", "length=30", "memorization=true"]
    answer = command(*given)
    assert answer.status == 0
    assert "longest copy of training text" in answer.err
    assert "longest copy" not in answer.out
    found = json.loads(command(*given, "format=jsonl").out)["memorization"]
    assert 0 < found["longest_copy"] <= 30
    assert set(found) == {"longest_copy", "copied", "new_ngrams", "distinct", "n", "ngram_perplexity"}


def test_tensorboard_shows_it_for_the_samples_of_the_best_checkpoint(toy_run: Run) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(toy_run.directory))
    events.Reload()
    (shown,) = events.Tensors("samples/memorization/text_summary")
    table = shown.tensor_proto.string_val[0].decode()
    assert "| longest copy, tokens |" in table
    found = read_json(toy_run.memorization_file)
    for temperature, one in found.items():
        assert f"| {temperature} | {one['longest_copy']} |" in table
        assert f"| {one['ngram_perplexity']:.3g} |" in table
    assert len(table.splitlines()) == 2 + len(toy_run.config().samples.temperatures)


def test_an_export_has_no_training_text_to_compare_with(toy_run: Run, command: Callable[..., Answer]) -> None:
    assert command("export", f"run={toy_run.directory}", "to=exported").status == 0
    answer = command("generate", "run=exported", "memorization=true")
    assert answer.status == 2
    assert "memorization: exported is an export, which has no training text; give the run" in answer.err
