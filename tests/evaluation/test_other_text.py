"""Any text scored with a run's tokenizer, and the score of every token in a file."""

import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from test_scoring import DOCUMENTS, fitted
from torch.nn import functional as F

import textloom
from conftest import Answer, encoded, split, train_run
from textloom.data.encoding import load_splits
from textloom.evaluation.adaptation import Adaptation, CacheSettings, Method
from textloom.evaluation.evaluator import Scorer
from textloom.evaluation.protocols import Protocol
from textloom.evaluation.token_scores import TokenScores, write_token_scores
from textloom.reports.compare import compare_runs
from textloom.runs.checkpoints import load_model
from textloom.runs.run import Run
from textloom.tokenizers.byte import ByteTokenizer
from textloom.tokenizers.char import CharTokenizer
from textloom.tokenizers.word import WordTokenizer

Command = Callable[..., Answer]
SENTENCE = "deep learning is a kind of learning"


@pytest.fixture
def run(toy_run: Run, tmp_path: Path) -> Run:
    """A copy of the run on the toy text, which may keep evaluations."""
    shutil.copytree(toy_run.directory, tmp_path / "outputs/toy")
    return Run(Path("outputs/toy"))


def rows_of(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return rows
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_a_text_is_scored_as_a_document_from_its_beginning(run: Run, tmp_path: Path) -> None:
    Path("one.txt").write_text(SENTENCE)
    loaded = textloom.load(run.directory)
    found = loaded.evaluate(data={"path": "one.txt"})
    expected = loaded.score(SENTENCE, ends=False)  # the run's text is one document, whose end it has never seen
    assert found["text/loss"] == pytest.approx(expected.loss, rel=1e-6)
    assert found["text/bits_per_char"] == pytest.approx(expected.bits_per_char, rel=1e-6)
    assert set(found) == {
        f"text/{name}" for name in ("loss", "perplexity", "bits_per_char", "accuracy", "unknown_rate")
    }
    assert "|split:text|" in found.signatures["text"]


def test_the_validation_text_of_a_run_has_the_loss_of_its_results(run: Run) -> None:
    tokenizer, part = load_model(run, "best")[1], load_splits(run.tokens)["val"]
    assert part.documents == 1
    Path("val.txt").write_text(tokenizer.decode(part.tokens[1:]))
    found = textloom.load(run.directory).evaluate(data={"path": "val.txt"})
    assert found["text/loss"] == pytest.approx(run.results()["val/loss"], rel=1e-6)
    assert found["text/bits_per_char"] == pytest.approx(run.results()["val/bits_per_char"], rel=1e-6)


def test_a_sentence_on_standard_input_works(command: Command, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("one.txt").write_text(SENTENCE)
    monkeypatch.setattr(
        sys, "stdin", SimpleNamespace(buffer=io.BytesIO(SENTENCE.encode()), closed=False, fileno=no_file)
    )
    piped = command("evaluate", f"run={run.directory}", "data.path=-")
    assert piped.status == 0, piped.err
    assert piped.out == command("evaluate", f"run={run.directory}", "data.path=one.txt").out
    assert piped.out.startswith("text/loss: ")


def no_file() -> int:
    """The descriptor of a pipe, for a question whether it is a terminal."""
    return 10**6


def test_other_texts_are_not_kept_and_adapt_too(run: Run) -> None:
    Path("one.txt").write_text(" ".join([SENTENCE] * 20))
    before = run.evaluations_file.read_bytes()
    loaded = textloom.load(run.directory)
    static = loaded.evaluate(data={"path": "one.txt"})
    adapted = loaded.evaluate(data={"path": "one.txt"}, cache=True, cache_weight=0.5, cache_sharpness=2.0)
    assert adapted["text/loss"] < static["text/loss"]
    assert run.evaluations_file.read_bytes() == before
    assert len(compare_runs([run.directory]).groups) == 1


def test_unknown_tokens_are_counted_and_bits_per_character_left_out(run: Run) -> None:
    Path("one.txt").write_text("deep ☃ learning")
    found = textloom.load(run.directory).evaluate(data={"path": "one.txt"})
    assert found["text/unknown_rate"] == pytest.approx(1 / 15)
    assert "text/bits_per_char" not in found


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
@pytest.mark.parametrize("options", [{}, {"protocol": "windows", "window": 9}, {"protocol": "sliding", "window": 5}])
def test_the_tokens_add_up_to_the_loss(run: Run, suffix: str, options: dict[str, Any]) -> None:
    loaded = textloom.load(run.directory)
    found = loaded.evaluate(per_token=f"tokens.{suffix}", **options)
    assert found == loaded.evaluate(**options)
    rows = rows_of(Path(f"tokens.{suffix}"))
    for name, part in load_splits(run.tokens).items():
        if name != "train":
            own = [row for row in rows if row["split"] == name]
            assert [row["token"] for row in own] == part.tokens[1:].tolist()
            assert np.mean([row["nats"] for row in own]) == pytest.approx(found[f"{name}/loss"], rel=1e-6)
            assert np.mean([row["rank"] == 1 for row in own]) == pytest.approx(found[f"{name}/accuracy"], abs=0.01)
            assert own[0]["document"] == own[0]["position"] == own[0]["offset"] == 0
            assert own[-1]["document"] == part.documents - 1


def test_offsets_are_places_in_the_text_of_the_document(run: Run) -> None:
    lines = ["deep learning", "another kind", "x"]
    Path("lines.txt").write_text("\n".join(lines))
    textloom.load(run.directory).evaluate(data={"path": "lines.txt", "documents": "line"}, per_token="tokens.jsonl")
    for row in rows_of(Path("tokens.jsonl")):
        document = lines[row["document"]]
        assert row["text"] == (document[row["offset"]] if row["offset"] < len(document) else "<eos>")


def test_the_offset_of_a_word_is_where_its_letters_begin(tmp_path: Path) -> None:
    text = "the cat sat on a mat, and (as cats do) left .\nthe mat stayed"
    tokenizer = WordTokenizer.fit([[text]], lowercase=False, minimum_frequency=1, maximum_size=None)
    part = encoded(split([text, "the cat"] * 2, 0.5, 0.0, 0), tokenizer, tmp_path / "tokens")["val"]
    scores = TokenScores(part)
    scores.nats[:] = 1.0
    write_token_scores(tmp_path / "tokens.parquet", {"val": scores}, tokenizer)
    for row in rows_of(tmp_path / "tokens.parquet"):
        document = tokenizer.decode(part.tokens[part.boundaries[row["document"]] + 1 :][: row["position"] + 1].tolist())
        if row["text"] not in ("<eos>", "<join>"):
            assert document[row["offset"] :] == row["text"]


def test_rank_and_entropy_by_hand(tmp_path: Path) -> None:
    model, part = fitted(tmp_path)
    scores = TokenScores(part)
    Scorer(model, 4).score(Method(Protocol("stream")), part, scores)
    tokens = torch.from_numpy(part.tokens.astype("int64"))
    with torch.no_grad():
        chances = F.softmax(model.logits(model(tokens[None, :-1])[0])[0].double(), dim=1)
    own = chances.gather(1, tokens[1:, None])
    assert np.allclose(scores.nats, -own.log().squeeze(1), atol=1e-4)
    assert (scores.ranks == 1 + (chances > own).sum(dim=1).numpy()).all()
    assert np.allclose(scores.entropies, -(chances * chances.log()).sum(dim=1), atol=1e-4)
    assert np.allclose(scores.confidences, chances.max(dim=1).values, atol=1e-5)


def test_bytes_of_one_character_have_one_place(tmp_path: Path) -> None:
    part = encoded(split(["naïve façade ☃!", "b"] * 4, 0.5, 0.0, 0), ByteTokenizer(), tmp_path / "tokens")["val"]
    scores = TokenScores(part)
    scores.nats[:] = 1.0
    write_token_scores(tmp_path / "tokens.parquet", {"val": scores}, ByteTokenizer())
    rows = rows_of(tmp_path / "tokens.parquet")
    text = "naïve façade ☃!"
    first = next(number for number in range(part.documents) if np.diff(part.boundaries)[number] > 5)
    own = [row for row in rows if row["document"] == first]
    assert own[0]["offset"] == 0
    assert own[-2]["offset"] == len(text) - 1  # the exclamation mark, after characters of two and three bytes
    assert own[-1]["offset"] == len(text)


def test_adapting_models_and_an_n_gram_write_their_tokens_too(tmp_path: Path, run: Run) -> None:
    ngram = train_run(tmp_path / "ngram", "experiment=ngram")
    adapting = {"dynamic": True, "cache": True, "temperature": 0.9, "mix": str(ngram.directory)}
    for directory, options in ((ngram.directory, {}), (run.directory, {"dynamic": True}), (run.directory, adapting)):
        loaded = textloom.load(directory)
        found = loaded.evaluate(per_token="tokens.jsonl", **options)
        rows = [row for row in rows_of(Path("tokens.jsonl")) if row["split"] == "val"]
        assert np.mean([row["nats"] for row in rows]) == pytest.approx(found["val/loss"], rel=1e-6)


def test_tokens_that_are_no_targets_have_no_row(tmp_path: Path) -> None:
    part = encoded(split(DOCUMENTS, 0.5, 0.0, 0), CharTokenizer.fit(DOCUMENTS, False), tmp_path / "tokens")["val"]
    scores = TokenScores(part)
    scores.nats[3:5] = 2.0
    assert scores.targets.tolist() == [3, 4]


def test_an_adapted_prediction_is_a_distribution(tmp_path: Path) -> None:
    model, part = fitted(tmp_path)
    scores = TokenScores(part)
    method = Method(Protocol("stream"), Adaptation(temperature=0.7, cache=CacheSettings(20, 0.3, 1.0)))
    Scorer(model, 4).score(method, part, scores)
    assert (scores.entropies <= np.log(model.vocabulary_size) + 1e-5).all()
    assert (scores.confidences <= 1 + 1e-6).all()
    assert ((scores.ranks == 1) == scores.correct).all()


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "one.txt: the file is empty; give one that holds text"),
        ("☃☃☃", "data.path=one.txt: holds nothing that the run's tokenizer knows (char, "),
    ],
)
def test_a_text_with_nothing_to_score_is_one_line(content: str, message: str, command: Command, run: Run) -> None:
    Path("one.txt").write_text(content)
    answer = command("evaluate", f"run={run.directory}", "data.path=one.txt")
    assert answer.status == 2
    assert answer.out == ""
    assert message in answer.err.splitlines()[-1]
    assert len([line for line in answer.err.splitlines() if not line.startswith("run: ")]) == 1


def test_a_file_that_is_not_there_and_a_format_that_is_not_known_are_one_line(command: Command, run: Run) -> None:
    for argument, message in (
        ("data.path=nowhere.txt", "data.path=nowhere.txt: names no file"),
        ("per_token=tokens.csv", "per_token=tokens.csv: is written as Parquet or as JSON lines"),
        ("per_token=nowhere/tokens.jsonl", "nowhere/tokens.jsonl: cannot be written"),
        ("data.documents=page", "data.documents=page: must be 'file', 'blank_line' or 'line'"),
    ):
        answer = command("evaluate", f"run={run.directory}", argument)
        assert answer.status == 2
        assert message in answer.err.splitlines()[-1], answer.err
