"""Tokenizers: what goes in comes out, and what is unknown is said."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textloom.errors import RunError
from textloom.files import write_json
from textloom.tokenizers import Tokenizer, load_tokenizer, save_tokenizer
from textloom.tokenizers.byte import ByteTokenizer
from textloom.tokenizers.char import CharTokenizer
from textloom.tokenizers.word import JOIN, WordTokenizer, join_words, split_words

PROSE = "The network's 2 gates (input, forget) keep 3.14 or 1,000 values; don't they?\n\n  Yes -- \"always\"!"


def fitted(text: str) -> list[Tokenizer]:
    return [CharTokenizer.fit([text], lowercase=False), WordTokenizer.fit([text], lowercase=False), ByteTokenizer()]


@given(st.text())
def test_decoding_gives_back_every_text_that_the_vocabulary_covers(text: str) -> None:
    for tokenizer in fitted(text):
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids.tolist()) == text
        assert ids.size == 0 or 0 <= ids.min() <= ids.max() < tokenizer.vocabulary_size
        assert tokenizer.unknown_id is None or tokenizer.unknown_id not in ids
        assert tokenizer.end_id not in ids
        assert tokenizer.unknown(text) == []


@given(st.text(alphabet=st.sampled_from("ab1.,-'\"( )\n\t")))
def test_words_with_any_spacing_come_back(text: str) -> None:
    assert join_words(split_words(text)) == text


def test_prose_reads_as_words_and_marks_without_a_token_for_each_space() -> None:
    assert list(split_words("a network, 3.14 times (or so).")) == [
        *("a", "network", ",", "3.14", "times", "(", "or", "so", ")", ".")
    ]
    assert JOIN in list(split_words("4%x"))
    assert join_words(["feed", "-", "forward", "networks", "don't", "stop", "!"]) == "feed-forward networks don't stop!"


def test_special_strings_in_the_text_stay_text() -> None:
    text = "a <unk> b <eos> c <join> d"
    for tokenizer in fitted(text):
        ids = tokenizer.encode(text)
        assert tokenizer.end_id not in ids
        assert tokenizer.decode(ids.tolist()) == text


def test_a_char_vocabulary_is_the_unique_characters() -> None:
    tokenizer = CharTokenizer.fit(["deep learn"], lowercase=False)
    assert tokenizer.characters == " adelnpr"
    assert tokenizer.vocabulary_size == 8 + 2


def test_unknown_pieces_are_named_and_become_unk() -> None:
    char = CharTokenizer.fit(["abc"], lowercase=False)
    assert char.unknown("a?b?é") == ["?", "?", "é"]
    assert (char.encode("a?b") == char.unknown_id).tolist() == [False, True, False]
    word = WordTokenizer.fit(["deep nets"], lowercase=True)
    assert word.unknown("DEEP weird nets weird") == ["weird", "weird"]
    assert word.decode(word.encode("deep weird nets")) == "deep <unk> nets"


def test_minimum_frequency_and_maximum_size_bound_a_word_vocabulary() -> None:
    text = ["a a a b b c", "a b d"]
    assert WordTokenizer.fit(text, False).words == ("a", "b", "c", "d")
    assert WordTokenizer.fit(text, False, minimum_frequency=2).words == ("a", "b")
    assert WordTokenizer.fit(text, False, maximum_size=4).words == ("a",)
    assert WordTokenizer.fit(text, False, maximum_size=4).vocabulary_size == 4


def test_lower_casing_is_the_tokenizers_own() -> None:
    for kind in (CharTokenizer, WordTokenizer):
        tokenizer = kind.fit(["Deep Nets"], lowercase=True)
        assert tokenizer.decode(tokenizer.encode("DEEP nets")) == "deep nets"


def test_bytes_that_are_no_utf8_still_decode() -> None:
    assert ByteTokenizer().decode([0xE2, 0x98, 256, 65]) == "\ufffdA"


@pytest.mark.parametrize("tokenizer", fitted(PROSE), ids=["char", "word", "byte"])
def test_a_saved_tokenizer_is_the_same_tokenizer(tokenizer: Tokenizer, tmp_path: Path) -> None:
    save_tokenizer(tokenizer, tmp_path / "tokenizer.json")
    loaded = load_tokenizer(tmp_path / "tokenizer.json")
    assert loaded.to_dict() == tokenizer.to_dict()
    assert np.array_equal(loaded.encode(PROSE), tokenizer.encode(PROSE))


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"level": "byte"}', b"\xff", b"null"])
def test_a_damaged_tokenizer_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(RunError, match="damaged: its content does not match its checksum"):
        load_tokenizer(path)


@pytest.mark.parametrize(
    "content",
    [
        {"level": "char"},
        {"level": "char", "characters": 3, "lowercase": False},
        {"level": "word", "words": [1, None], "lowercase": False},
        {"level": "nothing"},
        {"format": "another"},
    ],
)
def test_another_programs_tokenizer_is_refused(content: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    write_json(path, {"format": "textloom tokenizer 1", **content})
    with pytest.raises(RunError, match="not a tokenizer of textloom"):
        load_tokenizer(path)


def test_a_missing_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no such file"):
        load_tokenizer(tmp_path / "tokenizer.json")
