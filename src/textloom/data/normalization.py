"""Normalization of text: line ends become LF, and canonically equivalent texts equal.

Text comes in pieces that may be cut anywhere, so text that the next piece could change is held back: the CR of a CR LF,
a letter whose combining mark may follow.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Literal

from textloom.config.source_keys import Form
from textloom.data.documents import Piece
from textloom.data.notes import Notes, counted

UnicodeForm = Literal["NFC", "NFD", "NFKC", "NFKD"]
FORMS: dict[Form, UnicodeForm] = {"nfc": "NFC", "nfd": "NFD", "nfkc": "NFKC", "nfkd": "NFKD"}

LINE_ENDS = re.compile(r"\r{1,2}\n|\r")  # CR CR LF: a CR LF that was converted twice
SURROGATES = re.compile(r"[\ud800-\udfff]")  # from JSON that was cut within a character
JAMO = range(0x1160, 0x1200)  # vowels and final consonants, which join the syllable before them
LONG_RUN = 30  # combining marks after one letter, as many as Unicode's Stream-Safe Text Format allows
NOT_LATIN = re.compile(f"[^\0-\u02ff]{{{LONG_RUN},}}")  # may hold such a run; found ten times as fast


def normalize_text(text: str, form: Form | None) -> str:
    """Normalize a whole text as documents are; for prompts and filters."""
    return Normalizer(form).text(text)


class Normalizer:
    """Normalizes texts and counts the changes.

    ``form``: a Unicode normalization form; None leaves characters as they are, line ends become LF all the same.
    ``unit``: what a text is called in the log, "file" or "row".
    """

    def __init__(self, form: Form | None, unit: str = "text"):
        self.form = form
        self.unit = unit
        self.line_ends = self.reformed = self.halves = 0  # numbers of texts with each kind of change

    def text(self, text: str) -> str:
        """Normalize a whole text."""
        (whole,) = self.pieces([(text, True)])
        return whole[0]

    def pieces(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """Normalize texts that come in pieces, with the same result as for whole texts."""
        held, changed = "", [False] * 3
        for text, ends in pieces:
            if ends and not held and text.isascii() and "\r" not in text and True not in changed:
                yield text, True  # like most rows of tables
                continue
            text = held + text
            cut = len(text) if ends else self._safe_end(text)
            text, held = text[:cut], text[cut:]
            if not text.isascii() or "\r" in text:
                straight = _with_line_feeds(text)
                whole = straight if straight.isascii() else SURROGATES.sub("\ufffd", straight)
                normal = whole if self.form is None else in_form(FORMS[self.form], whole)
                for i, different in enumerate((straight != text, normal != whole, whole != straight)):
                    changed[i] |= different
                text = normal
            yield text, ends
            if ends and True in changed:
                self.line_ends += changed[0]
                self.reformed += changed[1]
                self.halves += changed[2]
                changed = [False] * 3

    def report(self, notes: Notes) -> None:
        """Note what was changed, and how to turn it off."""
        if self.line_ends:
            notes.info(f"line ends: CR or CR LF became LF in {counted(self.line_ends, self.unit)}")
        if self.reformed:
            assert self.form is not None
            notes.info(
                f"normal form: {counted(self.reformed, self.unit)} changed to {FORMS[self.form]} "
                "(data.normalization=null leaves characters as they are)"
            )
        if self.halves:
            notes.warn(f"halves of surrogate pairs became U+FFFD in {counted(self.halves, self.unit)}")

    def _safe_end(self, text: str) -> int:
        """The length of the prefix that no later text can change."""
        end = len(text)
        if self.form is not None:
            decomposed: UnicodeForm = "NFD" if self.form in ("nfc", "nfd") else "NFKD"
            while end and not _starts_sequence(text[end - 1], decomposed):
                end -= 1
            end -= end > 0  # the next text may change that character
        before = text[max(0, end - 2) : end]  # up to two CRs belong to an LF after them
        return end - len(before) + len(before.rstrip("\r"))


def _with_line_feeds(text: str) -> str:
    if "\r" not in text:
        return text
    if "\r\r" in text:
        return LINE_ENDS.sub("\n", text)
    return text.replace("\r\n", "\n").replace("\r", "\n")  # ten times as fast


def in_form(form: UnicodeForm, text: str) -> str:
    """``unicodedata.normalize``, without its quadratic time in the length of a run of unordered combining marks."""
    if text.isascii() or unicodedata.is_normalized(form, text):
        return text
    ordered = NOT_LATIN.sub(lambda some: _long_runs().sub(_in_canonical_order, some[0]), text)
    return unicodedata.normalize(form, ordered)


def _in_canonical_order(marks: re.Match[str]) -> str:
    return "".join(sorted(marks[0], key=unicodedata.combining))


@cache
def _long_runs() -> re.Pattern[str]:
    marks = [code for code in range(0x300, 0x20000) if unicodedata.combining(chr(code))]
    return re.compile(f"[{''.join(map(chr, marks))}]{{{LONG_RUN},}}")


@cache
def _starts_sequence(character: str, form: UnicodeForm) -> bool:
    """True if nothing before a character can join it or be reordered with it. ``form``: "NFD" or "NFKD"."""
    first = unicodedata.normalize(form, character)[0]
    return not unicodedata.combining(first) and unicodedata.category(first)[0] != "M" and ord(first) not in JAMO
