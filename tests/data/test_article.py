"""The article's protocol gives the published numbers to the unit, and is called leaky wherever it shows."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conftest import Answer, compose_train, train_run
from textloom.batching.windows import Windows
from textloom.data.cache import load_corpus, load_or_encode_into
from textloom.data.encoding import load_splits
from textloom.errors import ConfigError
from textloom.evaluation.evaluate import evaluate_run
from textloom.export.folder import export_run
from textloom.reproductions.article import LEAKY, deal_windows
from textloom.runs.run import Run
from textloom.system.files import read_json

LOWER = '!"#$%&()*+/:<=>@[\\]^_`{|}~\t\n'
CASED = '!"%;[\\]^_`{|}~\t\n'
SEMICOLON_KEPT = '!"%[\\]^_`{|}~\t\n'


@pytest.mark.parametrize(
    ("lowercase", "filters", "window", "vocabulary", "training", "validation"),
    [
        (True, LOWER, 50, 13_677, 224_616, 96_265),
        (False, CASED, 50, 16_192, 222_994, 95_569),
        (False, CASED, 100, 16_192, 111_005, 47_574),
        (False, SEMICOLON_KEPT, 20, 16_210, 298_219, 127_809),
    ],
)
def test_vocabulary_and_windows_are_the_published_ones(
    real_data: Path,
    tmp_path: Path,
    lowercase: bool,
    filters: str,
    window: int,
    vocabulary: int,
    training: int,
    validation: int,
) -> None:
    path = real_data / "patents/neural_network_patent_query.csv"
    config = compose_train(
        "data=patents", f"data.path={path}", "data.protocol=article", f"data.article_window={window}",
        "tokenizer=article", "batching=windows", "batching.context=${data.article_window}",
    )  # fmt: skip
    words = config.tokenizer.model_copy(update={"lowercase": lowercase, "filters": filters})
    tokenizer, splits = load_or_encode_into(
        load_corpus(config.data), words, tmp_path / "tokenizer.json", tmp_path / "tokens"
    )
    assert tokenizer.vocabulary_size == vocabulary
    assert {name: split.targets for name, split in splits.items()} == {"train": training, "val": validation}
    assert training + validation in (320_881, 318_563, 158_579, 426_028)
    first = next(Windows(splits["val"], 64, window).batches(0))
    assert first.inputs.shape == (64, window)
    assert 0 not in first.inputs  # no window reaches over the end of a document


def test_the_shipped_tokenizer_is_the_articles_cased_one() -> None:
    assert compose_train(*OVERRIDES).tokenizer.filters == CASED


OVERRIDES = ["experiment=article_patents", "data.path=patents.csv"]


def write_patents(path: Path) -> None:
    lines = ["patent_abstract,patent_date"]
    for i in range(12):
        text = " ".join(f"Word{(i * j) % 17}, and more; (12) so." for j in range(9))
        lines.append(f'"{text}",2001-01-{i + 1:02}')
    path.write_text("\n".join(lines))


def test_windows_are_dealt_out_after_they_are_cut_and_so_overlap() -> None:
    boundaries = np.array([0, 31, 62, 72])  # two documents of 30 tokens, one of 9
    dealt = deal_windows(boundaries, 5)
    assert {name: len(part) for name, part in dealt.items()} == {"train": 35, "val": 15}
    positions = np.sort(np.concatenate([*dealt.values()]))
    assert positions.tolist() == [*range(6, 31), *range(37, 62)]


def test_it_is_trained_and_evaluated_and_called_leaky_wherever_it_shows(
    command: Callable[..., Answer], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_patents(tmp_path / "patents.csv")
    tiny = ["data.article_window=10", "model.units=4", "model.embedding_dim=4", "trainer.batch_size=64"]
    tiny += ["trainer.max_epochs=1", "samples.length=3", "samples.prompt=Word1"]
    prepared = command("prepare", *OVERRIDES[1:], "data=patents", "data.protocol=article", "tokenizer=article", tiny[0])
    assert prepared.out.startswith(LEAKY)
    run = train_run(tmp_path / "run", *OVERRIDES, *tiny)
    assert LEAKY in caplog.text
    assert run.results()["leaky"] is True
    assert read_json(run.provenance_file)["protocol"] == "article"
    assert set(load_splits(run.tokens)) == {"train", "val"}
    figures = evaluate_run(run)
    assert figures == {name: run.results()[name] for name in figures}
    assert figures["val/bits_per_char"] > 0
    assert LEAKY in " ".join(command("compare", f"runs={run.directory}").out.split())
    export_run(run, tmp_path / "export")
    assert LEAKY in (tmp_path / "export/README.md").read_text()
    assert evaluate_run(Run(tmp_path / "export")) == figures


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["tokenizer=word"], "data.protocol=article needs tokenizer=article, not word"),
        (["batching.context=20"], "set batching=windows batching.context=50"),
        (["batching=stream"], "set batching=windows batching.context=50"),
        (["data.protocol=null"], "tokenizer=article goes with data.protocol=article alone"),
    ],
)
def test_what_does_not_fit_the_protocol_is_reported(overrides: list[str], message: str) -> None:
    base = [] if overrides == ["batching=stream"] else OVERRIDES
    if not base:
        base = ["data=patents", "data.path=x.csv", "data.protocol=article", "tokenizer=article"]
    with pytest.raises(ConfigError) as caught:
        compose_train(*base, *overrides)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_window_longer_than_all_documents_is_reported(command: Callable[..., Answer], tmp_path: Path) -> None:
    write_patents(tmp_path / "patents.csv")
    answer = command(
        "prepare", "data=patents", "data.path=patents.csv", "data.protocol=article", "data.article_window=500",
        "tokenizer=article",
    )  # fmt: skip
    assert answer.status == 2
    assert "no document has more than the 500 tokens of a window; lower data.article_window" in answer.err
    assert json.dumps(answer.err).count("\\n") == 1
