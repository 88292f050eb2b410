"""Folding of duplicates: texts with other letters or marks are different, canonically equivalent texts are equal."""

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textloom.data.duplicates import DuplicateKeys

CHARACTERS = st.sampled_from(
    [*"aAéßẞsσςΣ -.!", "e\u0301", "\u0301", "\u0323", "\u0345", "İ", "ক", "ো", "한", "\u1100", "\u1161"]
)


def distinct(*documents: str) -> int:
    keys = DuplicateKeys()
    keys.add((document, True) for document in documents)
    return int(keys.firsts().sum())


@pytest.mark.parametrize(
    "texts",
    [
        ("कि", "की", "कु", "के", "का", "क", "क्", "किं"),
        ("กา", "ก่า", "ก้า", "ก๊า", "กี", "กิ"),
        ("ma", "mà", "má", "mả", "mã", "mạ"),
        ("كتب", "كَتَبَ", "كُتُب"),
        ("שבת", "שַׁבָּת"),
        ("நிலா", "நில", "நிலி"),
        ("resume", "résumé"),
        ("ı", "i", "İ"),
        ("か", "が"),
        ("Maße", "Masse"),
        ("I like it 👍", "I like it 👎"),
        ("🇩🇪", "🇫🇷", "👍🏽", "👍🏿"),
        ("m˥", "m˩"),
        ("x²", "x³"),
        ("!!", "??", "-", "♪"),
    ],
    ids=lambda texts: texts[0],
)
def test_texts_that_differ_in_letters_vowel_signs_tones_or_emoji_stay_apart(texts: tuple[str, ...]) -> None:
    assert distinct(*texts) == len(texts)


@pytest.mark.parametrize(
    "texts",
    [
        (
            "Việt Nam",
            unicodedata.normalize("NFD", "Việt Nam"),
            "VIỆT-NAM",
            "vie\u0302\u0323t nam",
            "vie\u0323\u0302t nam",
        ),
        ("한국어", unicodedata.normalize("NFD", "한국어"), "한국어!", "한 국 어"),
        ("ẞ", "ß"),
        ("Größe", "GRÖẞE", "größe!"),
        ("ΟΔΟΣ", "οδος", "οδοσ"),
        ("Å", "\u212b", "a\u030a"),
        ("ᾴ", "\u03b1\u0345\u0301", "ᾼ\u0301"),
        ("हिन्दी।", "हिन्दी", "हि\u200bन्दी", "«हिन्दी»"),
        ("co-op", "co\xadop", "CO OP", "\ufeffcoop", "co\u200bop"),
        ("love ❤️", "love ❤", "Love"),
        ("日本。", "日本", "「日本」", "日　本"),
        ("e\u037e", "e;"),
        (";;", "\u037e\u037e"),
    ],
    ids=lambda texts: texts[0],
)
def test_texts_that_are_equivalent_or_differ_in_case_and_punctuation_are_one(texts: tuple[str, ...]) -> None:
    assert distinct(*texts) == 1


@given(st.lists(st.lists(CHARACTERS).map("".join), min_size=1))
def test_where_a_document_is_cut_into_pieces_changes_nothing(pieces: list[str]) -> None:
    keys = DuplicateKeys()
    keys.add((piece, i == len(pieces) - 1) for i, piece in enumerate(pieces))
    for form in (None, "NFC", "NFD"):
        text = "".join(pieces)
        keys.add([(unicodedata.normalize(form, text) if form else text, True)])
    assert keys.firsts().tolist() == [True, False, False, False]


def test_a_letter_with_very_many_marks_takes_no_time() -> None:
    begin = time.process_time()
    assert distinct("a" + "\u0301\u0323" * 100_000, "a" + "\u0323\u0301" * 100_000, "a") == 2
    assert time.process_time() - begin < 5  # half a minute where marks are sorted one by one
