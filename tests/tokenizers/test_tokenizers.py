"""Tokenizers: decoding restores the text, and unknown pieces are reported."""

import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from textloom.config.tokenizer import BPETokenizerConfig, UnigramTokenizerConfig
from textloom.errors import RunError
from textloom.reproductions.article_tokenizer import ArticleTokenizer
from textloom.system.files import write_json
from textloom.tokenizers import Tokenizer, fit_tokenizer, load_tokenizer, save_tokenizer, subword
from textloom.tokenizers.byte import ByteTokenizer, valid_text
from textloom.tokenizers.char import CharTokenizer
from textloom.tokenizers.subword import BPETokenizer, UnigramTokenizer
from textloom.tokenizers.whitespace import WhitespaceTokenizer
from textloom.tokenizers.word import WordTokenizer

PROSE = "The network's 2 gates (input, forget) keep 3.14 or 1,000 values; don't they?\n\n  Yes -- \"always\"!"
PIECES = [
    *("a", "B", "the", "1", "9", ".", ",", "'", "’", "-", "(", ")", '"', " ", " ", "  ", "\n", "\r\n", "\t", "\0"),
    *(
        "é",
        "e\u0301",
        "İ",
        "Σ",
        "ß",
        "日本",
        "\u00a0",
        "\u2028",
        "\x1c",
        "\x85",
        "👩\u200d👩\u200d👧",
        "🇩🇪",
        "\ud800",
        "\udfff",
    ),
    *("हिन्दी", "कि", "ที่นี่", "กำ", "한", "\u1112\u1161\u11ab", "e\u0323\u0302", "z" + "\u0301" * 50, "\u0301", "ำ", "ﾞ"),
    *("👍🏽", "1\ufe0f\u20e3", "#\ufe0f\u20e3", "❤\ufe0f", "\u200d", "\u200c", "\xad", "\u200f", "\ufe0f", "ℹ"),
    *(
        'צה"ל',
        "ג׳",
        "ինչպե՞ս",
        "\u0600",
        "\u060012",
        "ൎ",
        "٣٫١٤",
        "＇",
        "ʼ",
        "‘",
        "½",
        "²",
        "\ufffe",
        "\U0010ffff",
        "\ue000",
    ),
    *("<unk>", "<eos>", "<join>", "a_word_that_is_longer_than_fifteen_bytes", "\ufdd0", "\ufeff", "don't", "3.14"),
]
TEXTS = st.text(st.characters()) | st.lists(st.sampled_from(PIECES)).map("".join)  # lone surrogates among them
BPE = BPETokenizer.fit([PROSE], lowercase=False, maximum_size=300)
ODD_CHARACTERS = CharTokenizer("a\ud800\udfff", lowercase=False)  # lone surrogates, which older runs may hold
ODD_WORDS = WordTokenizer(("a", "\ud800b"), lowercase=False)
UNIGRAM = UnigramTokenizer.fit([PROSE], lowercase=False, maximum_size=280)


def lossless(text: str) -> list[Tokenizer]:
    """Those that give back any text; the first two where their vocabulary is that of the text."""
    return [
        CharTokenizer.fit([text], lowercase=False), WordTokenizer.fit([text], lowercase=False),
        ByteTokenizer(), BPE, UNIGRAM,
    ]  # fmt: skip


def fitted(text: str) -> list[Tokenizer]:
    lower = [
        CharTokenizer.fit([text], lowercase=True), WordTokenizer.fit([text], lowercase=True),
        BPETokenizer(BPE.definition, lowercase=True),
    ]  # fmt: skip
    return [*lossless(text), *lower, WhitespaceTokenizer.fit([text], lowercase=False)]


@given(TEXTS)
def test_decoding_gives_back_every_text_that_the_vocabulary_covers(text: str) -> None:
    for tokenizer in lossless(text):
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == tokenizer.decode(ids.tolist()) == valid_text(text)
        assert ids.dtype == tokenizer.dtype == np.min_scalar_type(tokenizer.vocabulary_size - 1)
        assert ids.size == 0 or ids.max() < tokenizer.vocabulary_size
        assert tokenizer.unknown_id is None or tokenizer.unknown_id not in ids
        assert tokenizer.end_id not in ids
        assert tokenizer.unknown(text) == []


@given(TEXTS, TEXTS)
@example("\n\n0", "")
def test_a_text_cut_at_a_safe_place_has_the_tokens_of_the_whole(text: str, more: str) -> None:
    for tokenizer in fitted(PROSE + text):
        head, rest = tokenizer.safe_cut(text)
        parts = [tokenizer.encode(head), tokenizer.encode(rest + more)]
        assert np.concatenate(parts).tolist() == tokenizer.encode(text + more).tolist(), tokenizer.kind


@given(st.lists(TEXTS))
def test_a_document_in_pieces_has_the_tokens_of_the_whole(pieces: list[str]) -> None:
    text = "".join(pieces)
    for tokenizer in fitted(PROSE):
        whole, unknown = tokenizer.encode(text).tolist(), tokenizer.unknown(text)
        with mock.patch.object(type(tokenizer), "block", 8):
            parts = list(tokenizer.encode_pieces(pieces))
        assert [i for part in parts for i in part.ids.tolist()] == whole, tokenizer.kind
        assert [piece for part in parts for piece in part.unknown] == unknown
        if tokenizer.unknown_id is not None:
            assert len(unknown) == whole.count(tokenizer.unknown_id)


@given(st.lists(TEXTS))
def test_many_documents_have_the_tokens_of_each_and_an_end_after_it(documents: list[str]) -> None:
    for tokenizer in fitted(PROSE):
        with mock.patch.object(type(tokenizer), "block", 20):
            groups = list(tokenizer.encode_documents(documents))
        apart = [ids.tolist() + tokenizer.end_after(ids).tolist() for ids in map(tokenizer.encode, documents)]
        assert [i for group in groups for i in group.ids.tolist()] == sum(apart, []), tokenizer.kind  # noqa: RUF017
        assert [i for group in groups for i in group.lengths.tolist()] == list(map(len, apart))
        unknown = [piece for document in documents for piece in tokenizer.unknown(document)]
        assert [piece for group in groups for piece in group.unknown] == unknown


def test_prose_has_a_safe_place_near_its_end() -> None:
    text = "It runs on and on without a mark or a line end " * 200
    for tokenizer in fitted(text):
        head, rest = tokenizer.safe_cut(text)
        assert len(head) > len(text) - 50
        assert len(head) + len(rest) >= len(text) - 1


def test_special_strings_in_the_text_stay_text() -> None:
    text = "a <unk> b <eos> c <join> d"
    for tokenizer in lossless(text):
        ids = tokenizer.encode(text)
        assert tokenizer.end_id not in ids
        assert tokenizer.decode(ids) == text
    whitespace = WhitespaceTokenizer.fit([text], lowercase=False)
    assert not {whitespace.end_id, whitespace.unknown_id} & set(whitespace.encode(text).tolist())
    assert whitespace.decode(whitespace.encode(text)) == text


def test_a_char_vocabulary_is_the_unique_characters() -> None:
    tokenizer = CharTokenizer.fit(["deep learn"], lowercase=False)
    assert tokenizer.characters == " adelnpr"
    assert tokenizer.vocabulary_size == 8 + 2


def test_unknown_pieces_are_named_and_become_unk() -> None:
    char = CharTokenizer.fit(["abc"], lowercase=False)
    assert char.unknown("a?b?é") == ["?", "?", "é"]
    assert (char.encode("a?b") == char.unknown_id).tolist() == [False, True, False]
    assert char.decode(char.encode("?a??")) == "<unk>a<unk><unk>"
    word = WordTokenizer.fit(["deep nets"], lowercase=True)
    assert word.unknown("DEEP weird nets weird") == ["weird", "weird"]
    assert word.decode(word.encode("deep weird nets")) == "deep <unk> nets"
    assert word.unknown("deep ,nets") == [" ", ","]  # a space where none is expected is a token that can be unknown


def test_lower_casing_is_the_tokenizers_own() -> None:
    for tokenizer in (
        CharTokenizer.fit(["Deep Nets"], lowercase=True),
        WordTokenizer.fit(["Deep Nets"], lowercase=True),
        BPETokenizer.fit(["Deep Nets"], lowercase=True, maximum_size=260),
    ):
        assert tokenizer.decode(tokenizer.encode("DEEP nets")) == "deep nets"


@pytest.mark.parametrize("tokenizer", [ByteTokenizer(), BPE, UNIGRAM], ids=lambda one: one.kind)
def test_bytes_that_are_no_utf8_still_decode(tokenizer: Tokenizer) -> None:
    a_face = tokenizer.encode("👩").tolist()
    assert tokenizer.decode([*a_face[:2], tokenizer.end_id, *tokenizer.encode("A").tolist()]) == "\ufffdA"


@given(st.lists(st.integers(0, 400), max_size=30))
def test_any_ids_decode_to_a_text_that_utf8_can_hold(ids: list[int]) -> None:
    for tokenizer in [*fitted(PROSE), ArticleTokenizer.fit([PROSE], False, "!"), ODD_CHARACTERS, ODD_WORDS]:
        tokenizer.decode([i % tokenizer.vocabulary_size for i in ids]).encode()


def test_lone_surrogates_are_read_as_the_replacement_character() -> None:
    for tokenizer in [*fitted("a\ufffd"), ArticleTokenizer.fit(["a\ufffd"], False, "!")]:
        assert tokenizer.encode("a\udce9").tolist() == tokenizer.encode("a\ufffd").tolist()
    assert CharTokenizer.fit(["abc"], False).unknown("a\udce9") == ["\ufffd"]


# --- training -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [BPETokenizer, UnigramTokenizer])
def test_the_same_text_gives_the_same_pieces(kind: type[BPETokenizer | UnigramTokenizer]) -> None:
    text = [f"{PROSE} {i * i}" for i in range(50)]
    first, second = (kind.fit(iter(text), lowercase=False, maximum_size=330) for _ in range(2))
    assert first == second
    assert 270 < first.vocabulary_size <= 330
    assert len(first.encode(PROSE)) < 0.9 * len(PROSE)


def test_a_sample_from_all_over_a_long_text_is_trained_on() -> None:
    seen: list[str] = []

    def texts() -> Iterator[str]:
        for i in range(1000):
            seen.append(str(i))
            yield f"{i:03d} "

    kept = subword.spread(texts(), most=40)
    assert 5 <= len(kept) <= 10
    assert int(kept[0]) < 200 < 700 < int(kept[-1])
    assert len(seen) == 1000  # once
    assert subword.spread(["a", "b"], most=40) == ["a", "b"]


SUBWORDS = [
    BPETokenizerConfig(level="bpe", lowercase=False, maximum_size=300),
    UnigramTokenizerConfig(level="unigram", lowercase=False, maximum_size=300),
]
FITS: list[Callable[[Iterator[tuple[str]]], Tokenizer]] = [
    lambda documents: CharTokenizer.fit(documents, lowercase=True),
    lambda documents: WordTokenizer.fit(documents, lowercase=True),
    lambda documents: WhitespaceTokenizer.fit(documents, lowercase=True),
    *(lambda documents, config=config: fit_tokenizer(config, documents) for config in SUBWORDS),  # type: ignore[misc]
]


@pytest.mark.parametrize("fit", FITS, ids=["char", "word", "whitespace", "bpe", "unigram"])
def test_fitting_reads_documents_once_and_holds_none(fit: Callable[[Iterator[tuple[str]]], Tokenizer]) -> None:
    document = f"{PROSE}\n" * 20_000  # two million characters
    documents = 0

    def stream() -> Iterator[tuple[str]]:
        nonlocal documents
        for _ in range(4):
            documents += 1
            yield (document,)

    tracemalloc.start()
    with mock.patch.object(subword, "TRAINED_ON", 100_000):
        tokenizer = fit(stream())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert documents == 4
    assert tokenizer.unknown(document[:1000]) == []
    assert peak < 20e6  # the table of chunks; not 4 times 2 million characters of 4 bytes


@pytest.mark.parametrize("tokenizer", fitted(PROSE), ids=lambda one: one.kind)
def test_encoding_a_long_text_takes_little_more_than_its_tokens(tokenizer: Tokenizer) -> None:
    text = PROSE * 8_000
    tokenizer.encode(PROSE * 2)  # tables that are made once
    tracemalloc.start()
    ids = tokenizer.encode(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * ids.nbytes + 12e6


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokenizer", fitted(PROSE), ids=lambda one: one.kind)
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
        {"level": "bpe", "definition": "{}", "lowercase": False},
        {"level": "unigram", "definition": 3, "lowercase": False},
        {"level": "pretrained", "definition": "nothing"},
        {"level": ["char"]},
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


def test_a_tokenizer_that_nobody_has_registered_is_named_with_the_cure(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    write_json(path, {"format": "textloom tokenizer 1", "level": "nothing"})
    with pytest.raises(
        RunError, match=r"its tokenizer 'nothing' is not here; must be one of 'char', .*TEXTLOOM_PLUGINS"
    ):
        load_tokenizer(path)
