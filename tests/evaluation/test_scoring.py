"""Scores: sums over targets, divided once; padding and batching never change them."""

from math import exp, log
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from conftest import compose_train, encoded, split, train_run
from textloom.batching.batch import Batch
from textloom.config import BatchingConfig, DocumentsConfig, StreamConfig, WindowsConfig
from textloom.data.encoding import TokenSplit, load_splits
from textloom.data.spelling import Spelling
from textloom.evaluation.evaluate import Tally, evaluate_run, score, score_by
from textloom.evaluation.protocol_batches import validation_batches
from textloom.evaluation.protocols import Protocol, own_protocol, training_protocol
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.runs.checkpoints import load_model
from textloom.runs.run import Run
from textloom.tokenizers.char import CharTokenizer

DOCUMENTS = ["a short one", "b", "a document that is somewhat longer than the others", "and another", "the last"] * 4


def fitted(tmp_path: Path) -> tuple[RecurrentLanguageModel, TokenSplit]:
    torch.manual_seed(0)
    corpus = split(DOCUMENTS, 0.5, 0.0, 0)
    tokenizer = CharTokenizer.fit(DOCUMENTS, lowercase=False)
    model = RecurrentLanguageModel(compose_train("model.units=16").model, tokenizer.vocabulary_size)
    torch.nn.init.normal_(model.softmax.weight)  # far from uniform, so that every mistake shows
    return model.eval(), encoded(corpus, tokenizer, tmp_path / "tokens")["val"]


def naive_nats(model: RecurrentLanguageModel, part: TokenSplit) -> float:
    """One document at a time, from the zero state, with no batch, no padding, no chunk."""
    total = 0.0
    for begin, end in zip(part.boundaries[:-1], part.boundaries[1:], strict=True):
        tokens = torch.from_numpy(part.tokens[begin : end + 1].astype("int64"))
        logits = model.logits(model(tokens[None, :-1])[0])[0]
        total += F.cross_entropy(logits.double(), tokens[1:], reduction="sum").item()
    return total


WHOLE_DOCUMENTS: list[BatchingConfig] = [
    DocumentsConfig(kind="documents", steps=8),
    WindowsConfig(kind="windows", context=200, stride=1, shortest_context=1),
]


@pytest.mark.parametrize("config", WHOLE_DOCUMENTS)
@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_padding_and_batch_size_never_change_a_loss(config: BatchingConfig, batch_size: int, tmp_path: Path) -> None:
    model, part = fitted(tmp_path)
    found = score(model, part, config, batch_size)
    assert found.targets == part.targets
    assert found.loss == pytest.approx(naive_nats(model, part) / part.targets, rel=1e-6)


def test_a_stream_with_one_row_is_one_pass_with_carried_state(tmp_path: Path) -> None:
    model, part = fitted(tmp_path)
    tokens = torch.from_numpy(part.tokens.astype("int64"))
    logits = model.logits(model(tokens[None, :-1])[0])[0]
    expected = F.cross_entropy(logits.double(), tokens[1:]).item()
    found = score(model, part, StreamConfig(kind="stream", steps=8, evaluation_rows=1), batch_size=32)
    assert found.loss == pytest.approx(expected, rel=1e-6)
    assert found.accuracy == pytest.approx((logits.argmax(1) == tokens[1:]).double().mean().item())


def test_windows_with_all_targets_are_validated_as_fresh_windows(tmp_path: Path) -> None:
    model, part = fitted(tmp_path)
    config = WindowsConfig(kind="windows", context=7, stride=7, shortest_context=1, targets="all")
    found = score(model, part, config, batch_size=2)
    assert training_protocol(config) == Protocol("windows", 7)
    assert found.loss == pytest.approx(score_by(Protocol("windows", 7), model, part, 3).loss, rel=1e-6)
    tally = Tally()
    for batch in validation_batches(config, part, 2).batches(0):  # in training
        tally.add(model, batch)
    assert tally.score(part).loss == found.loss


def test_targets_dealt_out_by_a_leaky_protocol_are_scored_after_their_whole_windows() -> None:
    leaky = compose_train("experiment=article_lstm", "data.path=patents.csv", "batching.targets=all")
    assert own_protocol(leaky) == Protocol("sliding", 50)


def test_what_stands_in_the_padding_is_never_seen(tmp_path: Path) -> None:
    model, part = fitted(tmp_path)
    losses, padded = [], 0
    for filler in (0, 5):
        tally = Tally()
        for batch in _document_batches(part):
            if batch.positions is not None:
                keep = torch.zeros(batch.inputs.numel(), dtype=torch.bool).index_fill(0, batch.positions, True)
                padded += int((~keep).sum())
                batch = batch._replace(inputs=batch.inputs.masked_fill(~keep.view_as(batch.inputs), filler))
            tally.add(model, batch)
        losses.append(tally.score(part).loss)
    assert losses[0] == losses[1]
    assert padded > 0


def _document_batches(part: TokenSplit) -> list[Batch]:
    return list(validation_batches(WHOLE_DOCUMENTS[0], part, 4).batches(0))


def test_the_derived_figures_follow_from_the_nats(tmp_path: Path) -> None:
    model, part = fitted(tmp_path)
    found = score(model, part, WHOLE_DOCUMENTS[0], 4)
    assert found.perplexity == pytest.approx(exp(found.loss))
    assert found.bits_per_char == pytest.approx(found.loss * part.targets / log(2) / part.characters)
    assert part.characters == sum(len(text) for text in split(DOCUMENTS, 0.5, 0.0, 0).splits["val"].texts())


def test_a_small_vocabulary_cannot_win_by_hiding_words(tmp_path: Path) -> None:
    """All words unknown: the model says ``<unk>`` for nothing, and pays for the spelling of each word instead."""
    text = "\n\n".join(f"document {i} on networks" for i in range(40))
    (tmp_path / "text.txt").write_text(text)
    data = ["data=text_files", "data.path=text.txt", "data.documents=blank_line", "trainer.batch_size=4"]
    hidden = train_run(tmp_path / "hidden", *data, "tokenizer=word", "tokenizer.maximum_size=4")
    part = load_splits(hidden.tokens)["val"]
    assert part.unknown == 3 * part.documents
    parts = split(text.split("\n\n"), 0.1, 0.1, 0).splits
    words = [word for document in parts["val"].texts() for word in document.split() if word != "document"]
    frequencies = Spelling(parts["train"].texts())
    assert part.spelling_nats == pytest.approx(frequencies.nats(words))
    results = hidden.results()
    bits = (results["val/loss"] * part.targets + part.spelling_nats) / log(2) / part.characters
    assert results["val/bits_per_char"] == pytest.approx(bits)
    assert results["val/bits_per_char"] > 2 * results["val/loss"] * part.targets / log(2) / part.characters


def test_evaluation_is_float32_whatever_surrounds_it(tmp_path: Path) -> None:
    model, part = fitted(tmp_path)
    plain = score(model, part, WHOLE_DOCUMENTS[0], 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert score(model, part, WHOLE_DOCUMENTS[0], 4) == plain


def test_a_run_evaluates_to_the_last_digit_from_its_directory_alone(toy_run: Run, tmp_path: Path) -> None:
    moved = toy_run.directory.rename(tmp_path / "moved")
    try:
        figures = evaluate_run(Run(moved))
    finally:
        moved.rename(toy_run.directory)
    results = toy_run.results()
    assert set(figures) == {
        f"{part}/{f}"
        for part in ("val", "test")
        for f in ("loss", "perplexity", "bits_per_char", "accuracy", "unknown_rate")
    }
    assert figures == {name: results[name] for name in figures}


@pytest.mark.parametrize("batching", ["windows", "documents", "stream"])
@pytest.mark.parametrize("tokenizer", ["char", "byte", "word"])
def test_every_batching_and_tokenizer_reports_what_evaluation_finds(
    batching: str, tokenizer: str, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text("\n\n".join(f"{text} number {i}" for i, text in enumerate(DOCUMENTS)))
    run = train_run(
        tmp_path / "run", "data=text_files", "data.path=text.txt", "data.documents=blank_line", f"batching={batching}",
        f"tokenizer={tokenizer}", "trainer.batch_size=4",
    )  # fmt: skip
    results = run.results()
    figures = evaluate_run(run)
    assert figures == {name: results[name] for name in figures}
    part = load_splits(run.tokens)["val"]
    if tokenizer == "char":
        model = load_model(run, "best")[2]
        if batching == "documents":
            assert results["val/loss"] == pytest.approx(naive_nats(model, part) / part.targets, rel=1e-6)
