"""Settings that do not suit the text cause a warning that names the key to set; other settings cause none."""

import logging
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Answer, compose_train
from textloom.data.cache import load_corpus, load_or_encode
from textloom.data.suitability import warn_if_unsuited

CHINESE = "".join(random.Random(0).choices("门明右少月书外内南船冬饭人暗心近酒河看山", k=3000))
CHINESE = "。".join(CHINESE[i : i + 10] for i in range(0, 3000, 10))
WORDS = [f"word{i}" for i in range(2000)]


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> Callable[..., list[str]]:
    """The warnings about a text, twice: read, and found in the cache."""

    def about(text: str, *overrides: str) -> list[str]:
        path = tmp_path / ("text.csv" if "data=table" in overrides else "text.txt")
        path.write_text(text)
        group = () if "data=table" in overrides else ("data=text_files",)
        config = compose_train(*group, *overrides, f"data.path={path}")
        found = []
        for _ in range(2):
            caplog.clear()
            corpus = load_corpus(config.data)
            with caplog.at_level(logging.WARNING):
                warn_if_unsuited(config.data, *load_or_encode(corpus, config.tokenizer), corpus.facts)
            found.append([record.getMessage() for record in caplog.records])
        assert found[0] == found[1]
        return found[0]

    return about


def test_words_of_a_language_without_spaces_are_reported_as_unknown(warnings: Callable[..., list[str]]) -> None:
    (line,) = warnings(CHINESE, "tokenizer=word")
    assert line.startswith("most characters are hidden behind <unk> (91% in train, ")
    assert line.endswith("; set tokenizer=char or tokenizer=bpe")
    assert warnings(CHINESE, "tokenizer=char") == []


def test_a_validation_split_in_another_script_is_reported_as_unknown(warnings: Callable[..., list[str]]) -> None:
    (line,) = warnings("a quiet text. " * 200 + "тихий-текст" * 28)
    assert "% in test); set tokenizer=byte or tokenizer=bpe" in line
    assert "train" not in line


@pytest.mark.parametrize(
    ("text", "tokenizer", "cure"),
    [
        ("a" * 5000, "char", "a single token, so that there is nothing to learn; give another text"),
        ("ab" * 5000, "word", "a single word, so that there is nothing to learn; set tokenizer=char or tokenizer=bpe"),
        ("again " * 5000, "whitespace", "a single word, so that there is nothing to learn; set tokenizer=char"),
        ("again\n" * 5000, "word", "a single word, so that there is nothing to learn; set tokenizer=char"),
        ("x " * 4999, "word", "a single word, so that there is nothing to learn; set tokenizer=char"),
    ],
)
def test_a_text_of_one_token_is_reported(
    text: str, tokenizer: str, cure: str, warnings: Callable[..., list[str]]
) -> None:
    (line,) = warnings(text, f"tokenizer={tokenizer}")
    assert cure in line


def test_a_vocabulary_as_large_as_the_text_is_reported(warnings: Callable[..., list[str]]) -> None:
    lines = warnings(" ".join(WORDS), "tokenizer=word", "tokenizer.minimum_frequency=1")
    assert any("the vocabulary is as large as the text: 1,62" in line and "tokenizer=char" in line for line in lines)
    letters = "".join(random.Random(0).choices("abcdefghijklmnop   ", k=3000))
    (line,) = warnings(letters, "tokenizer=bpe")
    assert "set tokenizer.maximum_size=300" in line


def test_a_split_that_is_one_document_of_many_is_reported(warnings: Callable[..., list[str]]) -> None:
    rows = "text\n" + "\n".join(f"a row of number {i * i} and some words" for i in range(10))
    lines = warnings(rows, "data=table")
    assert [line.split(",")[0] for line in lines] == [
        f"the {name} split is a single document of 10" for name in ("val", "test")
    ]
    assert "raise data.validation_fraction" in lines[0]
    assert "raise data.test_fraction" in lines[1]
    assert warnings(rows + "\n" + rows.replace("row", "line"), "data=table", "data.validation_fraction=0.2") != lines


def test_duplicates_above_a_half_are_reported(warnings: Callable[..., list[str]]) -> None:
    rows = "text\n" + "\n".join(
        ["Another text!", "another text"] * 60 + [f"a row of number {i * i}" for i in range(80)]
    )
    (line,) = warnings(rows, "data=table")
    assert line.startswith("119 of 200 documents repeat another one")
    assert "data.fold_duplicates=false" in line
    assert warnings(rows, "data=table", "data.fold_duplicates=false") == []


def test_usual_texts_get_no_warning(warnings: Callable[..., list[str]]) -> None:
    prose = "".join(
        f"{random.Random(i).choice(['A', 'The', 'Some'])} text of {i % 40} words, and more.\n" for i in range(300)
    )
    for tokenizer in ("char", "word", "whitespace", "byte"):
        assert warnings(prose, f"tokenizer={tokenizer}") == []
    assert warnings(prose, "tokenizer=bpe", "tokenizer.maximum_size=400") == []


def test_usual_corpora_get_no_warning(real_data: Path, caplog: pytest.LogCaptureFixture) -> None:
    patents = ["data=patents", f"data.path={real_data}/patents/neural_network_patent_query.csv", "tokenizer=word"]
    shakespeare = ["data=text_files", f"data.path={real_data}/tinyshakespeare/input.txt"]
    for overrides in (
        ["data=toy"],
        ["data=toy", "tokenizer=word"],
        shakespeare,
        [*shakespeare, "tokenizer=word"],
        patents,
    ):
        config = compose_train(*overrides)
        corpus = load_corpus(config.data)
        warn_if_unsuited(config.data, *load_or_encode(corpus, config.tokenizer), corpus.facts)
    assert caplog.records == []


def test_prepare_and_train_warn(command: Callable[..., Answer], tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(CHINESE)
    data = ["data=text_files", "data.path=text.txt", "tokenizer=word"]
    tiny = ["model.units=4", "trainer=debug", "samples.length=3", "trainer.batch_size=4", "name=tiny"]
    for answer in (command("prepare", *data), command("prepare", *data), command("train", *data, *tiny)):
        assert answer.status == 0, answer.err
        assert answer.err.count("most characters are hidden behind <unk>") == 1
