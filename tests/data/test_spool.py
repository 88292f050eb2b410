"""The spool: however long a document is, it goes through in pieces, and no piece border changes a token."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from conftest import compose_train, documents_of, encoded, read_documents, split
from textloom.config import TokenizerConfig
from textloom.data import duplicates, spool
from textloom.data.corpus import Corpus
from textloom.data.documents import Piece
from textloom.data.encoding import Splits
from textloom.data.normalization import normalize_text
from textloom.data.reading import contents
from textloom.data.sources import text_files
from textloom.data.sources.text_files import TextFilesConfig
from textloom.tokenizers import Tokenizer, fit_tokenizer

CONFIG = TextFilesConfig(
    kind="text_files",
    path=("?",),
    documents="file",
    validation_fraction=0.1,
    test_fraction=0.1,
    split_seed=0,
    fold_duplicates=True,
)
TEXT = st.text(alphabet=st.sampled_from("abΣσé1.,'-( 漢\n\r\t\u2028"), min_size=30, max_size=200)


@cache
def tokenizer_config(*overrides: str) -> TokenizerConfig:
    return compose_train(*overrides).tokenizer


@pytest.mark.parametrize(
    "overrides",
    [["tokenizer=char", "tokenizer.lowercase=true"], ["tokenizer=byte"], ["tokenizer=word"], ["tokenizer=whitespace"]],
)
@settings(max_examples=20)
@given(documents=st.lists(TEXT, min_size=1, max_size=4))
@example(documents=["a" * 20, "a " * 8 + "\n "])
def test_pieces_have_the_tokens_of_the_whole(
    overrides: list[str], documents: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = tokenizer_config(*overrides)

    def made() -> tuple[Tokenizer, Splits, Corpus]:
        corpus = split(documents, 0.3, 0.0, 0)
        tokenizer = fit_tokenizer(config, corpus.splits["train"].documents())
        return tokenizer, encoded(corpus, tokenizer, tmp_path_factory.mktemp("tokens")), corpus

    whole, whole_splits, whole_corpus = made()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool, "BLOCK", 8)
        patch.setattr(Tokenizer, "block", 8)
        cut, cut_splits, cut_corpus = made()
    assert cut.to_dict() == whole.to_dict()
    assert cut_corpus.facts == whole_corpus.facts
    for name, part in whole_splits.items():
        assert np.array_equal(cut_splits[name].tokens, part.tokens)
        assert np.array_equal(cut_splits[name].boundaries, part.boundaries)
        assert (cut_splits[name].characters, cut_splits[name].unknown) == (part.characters, part.unknown)
        assert cut_splits[name].spelling_nats == pytest.approx(part.spelling_nats)


def blank_line_documents(texts: Iterator[str]) -> Iterator[Piece]:
    return text_files.bordered_documents(texts, text_files.BLANK_LINES)


@given(text=TEXT)
def test_blank_lines_separate_documents_wherever_the_file_is_read_in_two(text: str) -> None:
    expected = documents_of(blank_line_documents(iter([text])))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_files, "BLOCK", 5)
        assert documents_of(blank_line_documents(iter(text))) == expected
        assert documents_of(blank_line_documents(iter([text[:9], text[9:]]))) == expected


@settings(max_examples=50)
@given(text=TEXT)
def test_a_file_is_read_in_blocks_as_it_is_read_whole(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path: Path = tmp_path_factory.mktemp("file") / "text.txt"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contents, "BLOCK", 3)
        config = CONFIG.model_copy(update={"path": (str(path),)})
        if text.strip():
            assert read_documents(config) == [normalize_text(text, None)]


@given(documents=st.lists(st.text(alphabet=st.sampled_from("abA.- é"), max_size=8), max_size=30))
def test_the_first_of_equal_documents_stays(documents: list[str]) -> None:
    keys = duplicates.DuplicateKeys()
    keys.add((document, True) for document in documents)
    cut = duplicates.DuplicateKeys()
    for document in documents:
        cut.add([*((letter, False) for letter in document), ("", True)])
    letters = ["".join(c for c in document.casefold() if c.isalnum()) or document for document in documents]
    assert keys.firsts().tolist() == cut.firsts().tolist()
    assert keys.firsts().tolist() == [letter not in letters[:i] for i, letter in enumerate(letters)]
