"""The corpus: duplicates are folded, and no text is in two splits."""

import functools
import operator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import compose_train, documents_of, split
from textloom.data.cache import load_corpus
from textloom.data.corpus import Corpus
from textloom.errors import DataError


def texts(corpus: Corpus) -> dict[str, list[str]]:
    return {name: documents_of(part.pieces()) for name, part in corpus.splits.items()}


def test_documents_that_differ_in_case_marks_and_space_are_one() -> None:
    documents = ["A neural network.", "a NEURAL   network", "a neural net-work", "another", "!!", "??"]
    corpus = split(documents, 0.25, 0.25, 0, fold_duplicates=True)
    assert sorted(functools.reduce(operator.iadd, texts(corpus).values(), [])) == sorted(
        ["A neural network.", "another", "!!", "??"]
    )
    assert corpus.facts.duplicates_folded == 2


@given(st.integers(3, 200), st.sampled_from([0.0, 0.1, 0.3]), st.integers(0, 5))
def test_every_document_is_in_one_split_alone(count: int, test_fraction: float, seed: int) -> None:
    documents = [f"document {i}" for i in range(count)]
    corpus = split(documents, 0.1, test_fraction, seed)
    assert sorted(functools.reduce(operator.iadd, texts(corpus).values(), [])) == sorted(documents)
    assert set(corpus.splits) == ({"train", "val", "test"} if test_fraction else {"train", "val"})
    assert abs(len(corpus.splits["val"]) - 0.1 * count) <= 1
    assert texts(corpus) == texts(split(documents, 0.1, test_fraction, seed))


def test_another_seed_is_another_split() -> None:
    documents = [str(i) for i in range(100)]
    assert texts(split(documents, 0.1, 0.1, 0)) != texts(split(documents, 0.1, 0.1, 1))
    assert split(documents, 0.1, 0.1, 0).facts != split(documents, 0.1, 0.1, 1).facts


@given(st.text(min_size=40), st.sampled_from([0.0, 0.1]))
def test_a_single_document_is_cut_in_order_its_end_validates_and_tests(text: str, test_fraction: float) -> None:
    corpus = split([text], 0.1, test_fraction, 0)
    assert corpus.facts.contiguous
    assert "".join(part for parts in texts(corpus).values() for part in parts) == text


@pytest.mark.parametrize("cluster", ["कि", "e\u0301", "👩\u200d👩\u200d👧", "🇩🇪", "1\ufe0f\u20e3", "a"])
def test_a_cut_does_not_separate_a_letter_from_its_marks(cluster: str) -> None:
    for count in range(40, 60):
        parts = texts(split([cluster * count], 0.1, 0.1, 0))
        assert all(text == cluster * (len(text) // len(cluster)) for (text,) in parts.values())
        assert sum(len(text) for (text,) in parts.values()) == len(cluster) * count


@pytest.mark.parametrize("documents", [[], ["ab"], ["one", "two"]])
def test_a_split_without_a_document_is_refused(documents: list[str]) -> None:
    with pytest.raises(DataError, match=r"no document is left for the .* split"):
        split(documents, 0.1, 0.1, 0)


def test_the_cure_for_a_split_without_a_document_names_a_key_that_exists() -> None:
    cure = "give more text, set data.test_fraction=0"
    with pytest.raises(DataError, match=f"for the train split, with 2 in all; {cure}"):
        split(["one", "two"], 0.1, 0.1, 0)
    with pytest.raises(DataError, match=r"for the val split, with 1 in all; .*raise data.validation_fraction"):
        split(["abc"], 0.1, 0.1, 0)


def test_two_documents_are_enough_without_a_test_split() -> None:
    assert {name: len(part) for name, part in split(["one", "two"], 0.1, 0.0, 0).splits.items()} == {
        "train": 1,
        "val": 1,
    }


def test_the_articles_duplicates_are_folded(real_data: Path) -> None:
    corpus = load_corpus(
        compose_train("data=patents", f"data.path={real_data}/patents/neural_network_patent_query.csv").data
    )
    # 362 repeat another but for case and punctuation, 4 more but for white space ("large scale", "largescale")
    assert corpus.facts.duplicates_folded == 366
    assert sum(len(part) for part in corpus.splits.values()) == 3522 - 366
