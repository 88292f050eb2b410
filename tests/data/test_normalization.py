"""Normalization: line ends are LF, canonically equivalent texts are equal, wherever a text is cut into pieces."""

import itertools
import logging
import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from conftest import compose_train, documents_of, read_documents
from textloom.config.source_keys import Form
from textloom.data.cache import load_corpus
from textloom.data.normalization import FORMS, Normalizer, normalize_text

AWKWARD = st.text(
    alphabet=st.one_of(
        st.sampled_from("aé\u0301\u0316e\r\n<\u0338가\u1100\u1161\u11a8ﬁカ\uff9e\u09c7\u09be\u0344\u0f73\ufeff\ud800"),
        st.characters(),
    ),
    max_size=30,
)


@given(text=AWKWARD, cuts=st.lists(st.integers(0, 30), max_size=6), form=st.sampled_from([*FORMS, None]))
@example(text="a\r\r\nb", cuts=[2, 3], form=None)
@example(text="\r\r\r\nb", cuts=[1, 2, 3], form="nfc")
@example(text="a\r\r\n\u0301", cuts=[5], form="nfc")
@example(text="e\u0301\u0316", cuts=[1, 2], form="nfc")
def test_a_text_in_pieces_becomes_what_the_whole_text_does(text: str, cuts: list[int], form: Form | None) -> None:
    borders = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [(text[a:b], False) for a, b in itertools.pairwise(borders)]
    expected = text.replace("\r\r\n", "\n") if "\r\r\r" not in text else normalize_text(text, None)
    expected = expected.replace("\r\n", "\n").replace("\r", "\n")
    expected = "".join("\ufffd" if unicodedata.category(c) == "Cs" else c for c in expected)
    if form is not None:
        expected = unicodedata.normalize(FORMS[form], expected)
    assert documents_of(Normalizer(form).pieces([*pieces, ("", True), ("next", True)])) == [expected, "next"]
    assert normalize_text(text, form) == expected


def test_every_character_that_joins_the_one_before_it_is_held_together_with_it() -> None:
    """All pairs that Unicode composes, cut between the two."""
    for code in range(0x110000):
        character = chr(code)
        parts = unicodedata.normalize("NFD", character) if not 0xD800 <= code < 0xE000 else ""
        if len(parts) > 1 and not 0xAC00 <= code < 0xD7A4:
            for at in range(1, len(parts)):
                found = documents_of(Normalizer("nfc").pieces([(parts[:at], False), (parts[at:], True)]))
                assert found == [unicodedata.normalize("NFC", character)]


def test_a_long_run_of_combining_marks_takes_no_longer_than_its_length() -> None:
    marks = "e" + "\u0301\u0316" * 200_000
    begin = time.process_time()
    assert normalize_text(marks, "nfc") == "é" + "\u0316" * 200_000 + "\u0301" * 199_999
    assert time.process_time() - begin < 5
    assert normalize_text("e" + "\u0301\u0316" * 40, "nfc") == unicodedata.normalize("NFC", "e" + "\u0301\u0316" * 40)


@pytest.mark.parametrize("kind", ["txt", "csv", "jsonl"])
def test_all_sources_read_the_same_text_whatever_its_line_ends_and_form(kind: str, tmp_path: Path) -> None:
    def corpus(text: str, name: str) -> str:
        (tmp_path / name).mkdir()
        rows = [f"{text} {i}" for i in range(10)]
        path = tmp_path / name / f"text.{kind}"
        if kind == "txt":
            path.write_bytes("\n".join(rows).encode())
        elif kind == "csv":
            path.write_bytes(("text\n" + "".join(f'"{row}"\n' for row in rows)).encode())
        else:
            path.write_bytes("".join('{"text": "' + row.replace("\n", "\\n") + '"}\n' for row in rows).encode())
        data = "data=text_files" if kind == "txt" else "data=table"
        return load_corpus(compose_train(data, f"data.path={path}").data).facts.fingerprint

    def ends(text: str, end: str) -> str:
        return text.replace("\n", end.replace("\r", "\\r").replace("\n", "\\n") if kind == "jsonl" else end)

    text = "schön\nund größer"
    same = {corpus(text, "lf"), corpus(ends(text, "\r\n"), "crlf"), corpus(ends(text, "\r\r\n"), "crcrlf")}
    same |= {corpus(ends(text, "\r"), "cr"), corpus(unicodedata.normalize("NFD", text), "nfd")}
    assert len(same) == 1


def test_what_was_changed_is_logged_once_and_on_a_cached_second_call_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for name, text in {"a": "größer\r\n", "b": "scho\u0308n", "c": "u\u0308ber\r"}.items():
        (tmp_path / f"{name}.txt").write_bytes(text.encode() * 10)
    data = compose_train("data=text_files", "data.path='*.txt'").data
    for _ in range(2):
        caplog.clear()
        load_corpus(data)
        assert caplog.messages == [
            "line ends: CR or CR LF became LF in 2 files",
            "normal form: 2 files changed to NFC (data.normalization=null leaves characters as they are)",
        ]
    caplog.clear()
    load_corpus(data).splits  # noqa: B018  # read again, for another tokenizer
    assert len(caplog.messages) == 2


def test_characters_can_be_left_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("e\u0301ﬁ")
    data = ["data=text_files", "data.path=a.txt"]
    for form, text in {"null": "e\u0301ﬁ", "NFD": "e\u0301ﬁ", "nfc": "éﬁ", "nfkc": "éfi"}.items():
        assert read_documents(compose_train(*data, f"data.normalization={form}").data) == [text]


def test_configs_written_before_the_key_leave_characters_as_they_were() -> None:
    from textloom.config import TrainConfig
    from textloom.config.checking import check

    values = compose_train().model_dump(mode="json")
    del values["data"]["normalization"]
    assert check(values, TrainConfig).data.normalization is None
