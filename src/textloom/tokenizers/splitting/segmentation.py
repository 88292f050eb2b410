"""Words, other grapheme clusters and white space of a text, after Unicode Standard Annex #29, "Text Segmentation".

Two deviations from its word boundaries: runs of letters of a script without spaces (Chinese, Japanese, Thai, Khmer) are
one word, since the annex would need a dictionary; and of the marks within a word, Latin text keeps the apostrophe alone
(``e.g`` is three pieces), with which published figures were made.
"""

import re

import regex

from textloom.tokenizers.base import WHITE_SPACE

EXTENDING = r"[\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}\p{GCB=SpacingMark}]"
"""Characters that belong to the one before: combining marks, joiners, variation selectors, soft hyphens, bidi marks."""
LETTER = r"[\p{L}\p{N}_[[\p{WB=ALetter}\p{WB=MidLetter}]&&[\p{Armenian}\p{Hebrew}]]]"
PREPENDED = r"\p{GCB=Prepend}"  # belong to the character after
DIGITS_MARKS = ".,٫٬"

# in a run of regional indicators, \X of regex takes quadratic time, so pairs are matched explicitly
_CLUSTER = rf"(?:\p{{RI}}\p{{RI}}|{PREPENDED}++(?={WHITE_SPACE}|\Z)|\X){EXTENDING}*+"
_LETTERS = rf"(?:(?={PREPENDED}*{LETTER}){_CLUSTER})++"
_DIGITS = rf"(?:(?={PREPENDED}*\p{{Nd}}){_CLUSTER})++"
_WITHIN_WORD = rf"(?:['’＇]|(?<=\p{{Hebrew}})\"(?=\p{{Hebrew}})){EXTENDING}*+"
_NUMBER = rf"{_DIGITS}(?:[{DIGITS_MARKS}]{EXTENDING}*+{_DIGITS})++"
_WORD = rf"{_LETTERS}(?:{_WITHIN_WORD}{_LETTERS})*+"

PIECES = regex.compile(rf"{_NUMBER}|{_WORD}|(?!{WHITE_SPACE}){_CLUSTER}|{WHITE_SPACE}++", regex.V1)
SPECIAL = regex.compile(rf"[{EXTENDING}{PREPENDED}\p{{RI}}\p{{Armenian}}\p{{Hebrew}}٫٬＇]", regex.V1)
"""Characters that the plain patterns do not handle."""
PLAIN_PIECES = regex.compile(
    r"\p{Nd}+(?:[.,]\p{Nd}+)+|[\p{L}\p{N}_]+(?:['’][\p{L}\p{N}_]+)*|[^\p{L}\p{N}_\s\x1c-\x1f]|[\s\x1c-\x1f]+"
)
ASCII_PIECES = re.compile(r"\d+(?:[.,]\d+)+|\w+(?:'\w+)*|[^\w\s]|\s+")


def split_pieces(text: str) -> list[str]:
    """Split a text into words, other grapheme clusters and runs of white space, end to end."""
    if text.isascii():
        return ASCII_PIECES.findall(text)
    return (PIECES if SPECIAL.search(text) else PLAIN_PIECES).findall(text)
