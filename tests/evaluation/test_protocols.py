"""Protocols: each scores every token once, says so in a signature, and its figures stand apart in a comparison."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from test_scoring import fitted, naive_nats
from torch.nn import functional as F

import textloom
from conftest import Answer, compose_train, train_run
from textloom.config import EvaluateConfig
from textloom.config.compose import command_config
from textloom.evaluation.evaluate import score_by
from textloom.evaluation.kept import read_kept
from textloom.evaluation.protocols import Protocol, chosen_protocol
from textloom.reports.compare import compare_runs
from textloom.runs.run import Run
from textloom.system.files import write_json
from textloom.tokenizers.byte import ByteTokenizer

Command = Callable[..., Answer]


@pytest.fixture
def run(toy_run: Run, tmp_path: Path) -> Run:
    """A copy of the run on the toy text, which may keep evaluations."""
    shutil.copytree(toy_run.directory, tmp_path / "outputs/toy")
    return Run(Path("outputs/toy"))


def windows_nats(tmp_path: Path, size: int) -> tuple[float, float]:
    """The loss by the protocol, and by hand: windows of tokens one after the other, each from the initial state."""
    model, part = fitted(tmp_path)
    tokens = torch.from_numpy(part.tokens.astype("int64"))
    total = 0.0
    for begin in range(0, part.targets, size):
        piece = tokens[begin : begin + size + 1]
        logits = model.logits(model(piece[None, :-1])[0])[0]
        total += F.cross_entropy(logits.double(), piece[1:], reduction="sum").item()
    return score_by(Protocol("windows", size), model, part, batch_size=3).loss, total / part.targets


@pytest.mark.parametrize("size", [1, 7, 64])
def test_fresh_windows_each_begin_without_context(size: int, tmp_path: Path) -> None:
    found, expected = windows_nats(tmp_path, size)
    assert found == pytest.approx(expected, rel=1e-6)


def test_a_window_as_long_as_the_text_is_one_pass(tmp_path: Path) -> None:
    model, part = fitted(tmp_path)
    whole = score_by(Protocol("windows", part.targets), model, part, batch_size=4)
    longer = score_by(Protocol("windows", 10 * part.targets), model, part, batch_size=4)
    assert whole == longer
    assert whole.loss == pytest.approx(score_by(Protocol("stream"), model, part, batch_size=4).loss, rel=1e-6)


def test_one_stream_is_the_stream_and_more_are_worse_informed(tmp_path: Path) -> None:
    model, part = fitted(tmp_path)
    stream = score_by(Protocol("stream"), model, part, batch_size=4)
    assert score_by(Protocol("stream", 1), model, part, batch_size=4) == stream
    assert score_by(Protocol("stream", 5), model, part, batch_size=4).loss != stream.loss


def test_documents_and_long_sliding_windows_see_the_same_context(tmp_path: Path) -> None:
    model, part = fitted(tmp_path)
    expected = naive_nats(model, part) / part.targets
    for protocol in (Protocol("documents"), Protocol("sliding", 500)):
        assert score_by(protocol, model, part, batch_size=4).loss == pytest.approx(expected, rel=1e-6)


def test_every_protocol_scores_every_token(tmp_path: Path) -> None:
    model, part = fitted(tmp_path)
    for protocol in (Protocol("stream"), Protocol("stream", 7), Protocol("windows", 9), Protocol("sliding", 4)):
        assert score_by(protocol, model, part, batch_size=4).targets == part.targets


def test_a_signature_tells_text_split_tokenizer_protocol_and_version(run: Run) -> None:
    found = textloom.load(run.directory).evaluate(protocol="windows", window=20)
    parts = [dict(part.split(":") for part in line.split("|")) for line in found.signatures.values()]
    assert [part["split"] for part in parts] == ["val", "test"]
    for part in parts:
        assert list(part) == ["text", "split", "tokenizer", "protocol", "version"]
        assert part["protocol"] == "windows(20)"
        assert run.data_fingerprint().startswith(part["text"])
        assert part["tokenizer"].startswith("char.")


def test_other_vocabularies_have_other_signatures(tmp_path: Path) -> None:
    from textloom.evaluation.signature import signature
    from textloom.tokenizers.char import CharTokenizer

    some, others = (CharTokenizer.fit([text], lowercase=False) for text in (["abc"], ["abd"]))
    assert signature("f", "val", some, "stream") != signature("f", "val", others, "stream")
    assert signature("f", "val", some, "stream") != signature("f", "val", ByteTokenizer(), "stream")


def test_figures_of_the_trainings_own_protocol_are_those_of_its_results(run: Run, command: Command) -> None:
    results = run.results()
    (own,) = read_kept(run)
    assert own.figures == {name: results[name] for name in own.figures}
    before = run.evaluations_file.read_bytes()
    for protocol in ("training", "stream"):
        answer = command("evaluate", f"run={run.directory}", f"protocol={protocol}")
        assert f"val/loss: {results['val/loss']!r}\n" in answer.out
        assert f"val/signature: {own.signatures['val']}\n" in answer.err
    assert run.evaluations_file.read_bytes() == before


def test_an_evaluation_is_kept_once_and_repeats_to_the_digit(run: Run) -> None:
    loaded = textloom.load(run.directory)
    first, again = (loaded.evaluate(protocol="windows", window=16) for _ in range(2))
    assert first == again
    assert first["val/loss"] > run.results()["val/loss"]
    assert run.results() == loaded.results
    _, kept = read_kept(run)
    assert (kept.method, kept.figures, kept.signatures) == ("windows(16)", dict(first), first.signatures)


def test_evaluations_of_weights_that_were_trained_further_are_dropped(run: Run) -> None:
    textloom.load(run.directory).evaluate(protocol="windows", window=16)
    write_json(run.results_file, {**run.results(), "val/loss": 1.0})
    assert read_kept(run) == []


def test_damaged_evaluations_are_told_written_anew_and_the_results_are_compared(run: Run, command: Command) -> None:
    for content in ("not json", "{}"):
        run.evaluations_file.write_text(content)
        compared = command("compare", f"runs={run.directory}")
        assert compared.status == 0
        assert f"{run.evaluations_file}: damaged" in compared.err
        assert "protocol stream" in compared.out
        evaluated = command("evaluate", f"run={run.directory}", "protocol=documents")
        assert evaluated.status == 0
        assert "the file is replaced" in evaluated.err
        assert [kept.method for kept in read_kept(run)] == ["documents"]


def test_a_comparison_never_mixes_protocols(run: Run, tmp_path: Path) -> None:
    other = train_run(tmp_path / "outputs/documents", "batching=documents", "trainer.batch_size=4")
    for directory in (run.directory, other.directory):
        textloom.load(directory).evaluate(protocol="windows", window=16)
    groups = compare_runs([run.directory, other.directory], "val/loss").groups
    headings = {group.heading.rpartition(", protocol ")[2].partition(",")[0]: group for group in groups}
    assert set(headings) == {"stream", "documents", "windows(16)"}
    both = [row for row in headings["windows(16)"].rows if row.records]
    assert len(both) == 2
    assert {row.figures["val/loss"].mean for row in both}.isdisjoint(
        {run.results()["val/loss"], other.results()["val/loss"]}
    )
    assert not compare_runs([run.directory, other.directory], "val/loss").unranked


def test_an_export_is_scored_by_any_protocol_and_keeps_nothing(run: Run, tmp_path: Path) -> None:
    loaded = textloom.load(run.directory)
    export = textloom.load(loaded.export(tmp_path / "export"))
    files = sorted(path.name for path in export.directory.iterdir())
    assert export.evaluate(protocol="windows").signatures == loaded.evaluate(protocol="windows").signatures
    assert sorted(path.name for path in export.directory.iterdir()) == files


@pytest.mark.parametrize("protocol", ["windows", "streams", "sliding"])
def test_n_grams_have_no_state_to_begin_a_row_with(protocol: str, command: Command, tmp_path: Path) -> None:
    train_run(tmp_path / "ngram", "experiment=ngram")
    answer = command("evaluate", "run=ngram", f"protocol={protocol}")
    assert (answer.status, len(answer.err.strip().splitlines())) == (2, 2)  # the run that was chosen, and why not
    assert f"protocol={protocol}: n-grams have no state" in answer.err
    assert command("evaluate", "run=ngram", "protocol=stream").out == command("evaluate", "run=ngram").out


def test_targets_that_were_dealt_out_in_windows_have_no_other_protocol() -> None:
    trained = compose_train("experiment=article_patents", "data.path=patents.csv")
    for protocol in ("stream", "streams", "windows", "sliding", "documents"):
        config = command_config("evaluate", EvaluateConfig, {"protocol": protocol})
        with pytest.raises(textloom.ConfigError, match=f"protocol={protocol}: the run's targets are dealt out"):
            chosen_protocol(config, trained)
    assert str(chosen_protocol(command_config("evaluate", EvaluateConfig, {}), trained)) == "sliding(50)"


def test_unknown_protocols_and_options_are_refused_in_one_line(command: Command, run: Run) -> None:
    answer = command("evaluate", f"run={run.directory}", "protocol=window")
    assert (answer.status, len(answer.err.strip().splitlines())) == (2, 1)
    assert "protocol=window: must be 'training', 'stream', 'streams', 'windows'" in answer.err
    with pytest.raises(textloom.ConfigError, match="window=0: must be greater than 0"):
        textloom.load(run.directory).evaluate(protocol="windows", window=0)


def test_a_split_shorter_than_its_streams_has_as_many_as_it_has_tokens(tmp_path: Path) -> None:
    model, part = fitted(tmp_path)
    found = score_by(Protocol("stream", 10**6), model, part, batch_size=4)
    assert found.targets == part.targets
    assert found == score_by(Protocol("windows", 1), model, part, batch_size=part.targets)
