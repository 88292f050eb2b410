"""Words: the tokens that are promised, however fast they are found."""

import hashlib
import itertools
import logging
import re
import time
from pathlib import Path

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st
from test_tokenizers import TEXTS

from conftest import compose_train
from textloom.data.cache import load_corpus, load_or_encode_into
from textloom.tokenizers.byte import valid_text
from textloom.tokenizers.splitting import chunks, words
from textloom.tokenizers.splitting.segmentation import PIECES, PLAIN_PIECES, split_pieces
from textloom.tokenizers.whitespace import WhitespaceTokenizer
from textloom.tokenizers.word import JOIN, WordTokenizer, join_words, split_words


@given(st.text(alphabet=st.sampled_from("ab1.,-'\"( )\n\t")))
def test_words_with_any_spacing_come_back(text: str) -> None:
    assert join_words(split_words(text)) == text


def test_prose_reads_as_words_and_marks_without_a_token_for_each_space() -> None:
    assert split_words("a network, 3.14 times (or so).") == [
        *("a", "network", ",", "3.14", "times", "(", "or", "so", ")", ".")
    ]
    assert JOIN in split_words("4%x")
    assert join_words(["feed", "-", "forward", "networks", "don't", "stop", "!"]) == "feed-forward networks don't stop!"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("किताब पढ़ना।", ["किताब", "पढ़ना", JOIN, "।"]),
        ("क्‍षेत्र, हिन्दी", ["क्‍षेत्र", ",", "हिन्दी"]),
        ("நிலா வந்தது", ["நிலா", "வந்தது"]),
        ("ที่นี่ น้ำ", ["ที่นี่", "น้ำ"]),
        ("كَتَبَ ٣٫١٤ مرّة", ["كَتَبَ", "٣٫١٤", "مرّة"]),
        ("می‌خواهم", ["می‌خواهم"]),
        ('שַׁבָּת צה"ל ג׳ורג׳', ["שַׁבָּת", 'צה"ל', "ג׳ורג׳"]),
        ("Tie\u0302\u0301ng Vie\u0323\u0302t", ["Tie\u0302\u0301ng", "Vie\u0323\u0302t"]),
        ("\u1112\u1161\u11ab글", ["\u1112\u1161\u11ab글"]),
        ("ինչպե՞ս", ["ինչպե՞ս"]),
        ("co\xadop \u200fabc\u200e.", ["co\xadop", "\u200f", JOIN, "abc\u200e", "."]),
        ("z" + "\u0301" * 50 + "x", ["z" + "\u0301" * 50 + "x"]),
        ("3.1\u03014 1\ufe0f\u20e3", ["3.1\u03014", "1\ufe0f\u20e3"]),
        ("🇩🇪🇫🇷 👍🏽", ["🇩🇪", JOIN, "🇫🇷", "👍🏽"]),
        ("👩\u200d👩\u200d👧 ❤\ufe0f #\ufe0f\u20e3", ["👩\u200d👩\u200d👧", "❤\ufe0f", "#\ufe0f\u20e3"]),
        ("日本語。中国", ["日本語", JOIN, "。", JOIN, "中国"]),
        ("don't e.g. l’été", ["don't", "e", ".", JOIN, "g", ".", "l’été"]),
    ],
)
def test_marks_and_joiners_belong_to_their_letter_and_a_grapheme_cluster_is_one_token(
    text: str, words: list[str]
) -> None:
    assert [word for word in split_words(text) if word != " "] == words
    assert join_words(split_words(text)) == text


@given(TEXTS)
def test_no_grapheme_cluster_is_torn(text: str) -> None:
    borders = set(itertools.accumulate(map(len, split_pieces(text))))
    clusters = set(itertools.accumulate(map(len, regex.findall(r"\X", text))))
    spaces = {i for i, character in enumerate(text) if character.isspace()}  # a mark after a space stands alone
    assert borders - clusters <= spaces | {i + 1 for i in spaces}


@given(st.text(st.sampled_from("aéß1²½_日.,'’-“”(ł \u00a0\u3000\n\x1c\u2028©😀·ʼ€…한𝒜١ا\x00\u200b\ufffe")))
def test_the_fast_patterns_find_what_the_full_one_finds(text: str) -> None:
    assert PLAIN_PIECES.findall(text) == PIECES.findall(text)
    assert split_pieces(text) == re.findall(r"\d+(?:[.,]\d+)+|\w+(?:['’]\w+)*|[^\w\s]|\s+", text)  # of older runs


@pytest.mark.parametrize("text", ["🇩", "a\u0301", "👩\u200d", "\u0301\xad", "1.", "a'", 'א"', "\u0600 ", "क्", "ﾞ"])
def test_a_long_text_of_one_kind_is_split_in_time_that_grows_with_its_length(text: str) -> None:
    begin = time.process_time()
    assert "".join(PIECES.findall(text * 100_000)) == text * 100_000
    assert time.process_time() - begin < 5  # quadratic time would be minutes


@given(TEXTS)
def test_words_found_by_their_chunks_are_those_of_the_whole_text(text: str) -> None:
    tokenizer = WordTokenizer.fit([text], lowercase=False)
    for _ in range(2):  # new chunks, and known ones
        assert [tokenizer._symbols[i] for i in tokenizer.encode(text)] == split_words(valid_text(text))
    plain = WhitespaceTokenizer.fit([text], lowercase=False)
    lines = [f"{' '.join(line.split())}" for line in valid_text(text).split("\n")]
    assert plain.decode(plain.encode(text)) == "\n".join(lines)


@given(st.lists(TEXTS, min_size=1))
def test_counts_are_those_of_the_words_of_all_documents(documents: list[str]) -> None:
    counted = words.count_pieces(documents, WordTokenizer.rules, block=20)
    expected: dict[str, int] = {}
    for document in documents:
        for word in split_words(valid_text(document)):
            expected[word] = expected.get(word, 0) + 1
    assert counted == expected


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table with room for few chunks, where most meet another one in their slot."""
    for name, value in (("KNOWN", 20), ("SLOTS_BITS", 5), ("SLOTS_MASK", 31), ("PROBES", 3)):
        monkeypatch.setattr(chunks, name, value)
    monkeypatch.setattr(WordTokenizer, "block", 60)


@pytest.mark.usefixtures("tight")
def test_a_full_table_changes_no_token() -> None:
    text = " ".join(f"word{i % 97} {i}, and ({i % 7})\n" for i in range(500))
    tokenizer = WordTokenizer.fit([text], lowercase=False)
    for _ in range(2):
        assert [tokenizer._symbols[i] for i in tokenizer.encode(text)] == split_words(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_too_many_words_to_count_cost_the_rarest_and_are_reported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(words, "MOST_COUNTED", 50)
    monkeypatch.setattr(chunks, "KNOWN", 30)
    documents = (f"often {i} again {i % 3}" for i in range(1000))
    with caplog.at_level(logging.WARNING):
        tokenizer = WordTokenizer.fit(documents, lowercase=False)
    assert {"often", "again", "0", "1", "2"} <= set(tokenizer.words)
    assert len(tokenizer.words) <= 50
    assert "more than 50 distinct words" in caplog.text


def test_minimum_frequency_and_maximum_size_bound_a_word_vocabulary() -> None:
    text = ["a a a b b c", "a b d"]
    assert WordTokenizer.fit(text, False).words == ("a", "b", "c", "d")
    assert WordTokenizer.fit(text, False, minimum_frequency=2).words == ("a", "b")
    assert WordTokenizer.fit(text, False, maximum_size=4).words == ("a",)
    assert WordTokenizer.fit(text, False, maximum_size=4).vocabulary_size == 4


def test_line_ends_are_the_ends_of_whitespace_tokens() -> None:
    tokenizer = WhitespaceTokenizer.fit([" = A title = \n \n The <unk> text, \n"], lowercase=False)
    ids = tokenizer.encode(" = A title = \n \n The <unk> text, \n").tolist()
    assert [tokenizer._symbols[i] for i in ids] == [
        *("=", "A", "title", "=", "<eos>", "<eos>", "The", "<unk>", "text,", "<eos>")
    ]
    assert tokenizer.unknown_id not in ids
    assert tokenizer.decode(ids) == "= A title =\n\nThe <unk> text,\n"
    documents = {"a": [2, 1], "a\n": [2, 1], "a\n \t": [2, 1], "a\n\n": [2, 1, 1], "": [1]}
    encoded = WhitespaceTokenizer(("a",), lowercase=False).encode_documents(documents)
    assert [i for group in encoded for i in group.ids.tolist()] == sum(documents.values(), [])  # noqa: RUF017


def test_wikitext_2_has_the_published_tokens_and_types(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "wikitext-2"
    config = compose_train(
        "data=text_files",
        f"data.path={folder}/train.txt",
        f"data.validation_path={folder}/valid.txt",
        f"data.test_path={folder}/test.txt",
        "tokenizer=whitespace",
    )
    tokenizer, splits = load_or_encode_into(
        load_corpus(config.data), config.tokenizer, tmp_path / "tokenizer.json", tmp_path
    )
    assert [splits[name].targets for name in ("train", "val", "test")] == [2_088_628, 217_646, 245_569]
    assert len(set(splits["train"].tokens[1:].tolist())) == 33_278 == tokenizer.vocabulary_size - 1  # no <unk> of ours
    assert splits["val"].unknown == splits["test"].unknown == 0


def test_the_patents_of_the_tutorial_have_the_tokens_of_the_published_figures(real_data: Path) -> None:
    path = real_data / "patents/neural_network_patent_query.csv"
    corpus = load_corpus(compose_train("data=patents", f"data.path={path}").data)
    tokenizer = WordTokenizer.fit(corpus.splits["train"].documents(), lowercase=True)
    assert tokenizer.vocabulary_size == 10_739
    for name, tokens, unknown, digest in (
        ("train", 374_487, 0, "aced65f7ff2e6d81"),
        ("val", 47_115, 840, "e5fe27797cba3c54"),
        ("test", 47_928, 791, "34c23ef50c241e13"),
    ):
        encoded = [tokenizer.encode(document) for document in corpus.splits[name].texts()]
        assert sum(map(len, encoded)) == tokens
        assert sum(int((ids == tokenizer.unknown_id).sum()) for ids in encoded) == unknown
        assert hashlib.sha256(b"".join(ids.astype("int64").tobytes() for ids in encoded)).hexdigest()[:16] == digest
