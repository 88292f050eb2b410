"""Pre-tokens: the pieces into which a text is split before a subword model; no token crosses their borders.

``ByteLevel`` splits as GPT-2 did, which suits most texts. It cuts combining marks from their letters, and the time of
training grows with the square of the longest piece, so texts with many marks or long pieces need another pattern.
"""

import re
from collections.abc import Iterable
from itertools import islice

import regex
from tokenizers import Regex
from tokenizers.pre_tokenizers import ByteLevel, PreTokenizer, Sequence, Split

LONGEST = 256  # characters in a piece
LOOKED_AT = 1 << 12  # characters at the beginning of each text that are searched for marks
MANY_MARKS = 0.01  # of the characters
DISTINCT = 1 << 18  # characters of distinct words, for which a unigram model trains up to a minute
SLICE = 1 << 12  # characters

MARKS = regex.compile(r"\p{M}+")
LONG_SPACE = re.compile(rf"\s{{{LONGEST + 1}}}")
PATTERN = (
    r"'(?:s|t|re|ve|m|ll|d)"
    rf"| ?\p{{L}}[\p{{L}}\p{{M}}\x{{200c}}\x{{200d}}]{{0,{LONGEST - 1}}}"
    rf"| ?\p{{N}}{{1,{LONGEST}}}"
    rf"| ?[^\s\p{{L}}\p{{N}}]{{1,{LONGEST}}}"
    rf"|\s{{1,{LONGEST}}}(?!\S)|\s{{1,{LONGEST}}}"
)
"""GPT-2's pattern, but combining marks and joiners stay with their letter, and the length of pieces is limited."""


def pre_tokenizer_for(texts: list[str]) -> PreTokenizer:
    """``ByteLevel``, with the pattern above if the texts need it."""
    if not any(map(_has_long_runs, texts)) and not _has_many_marks(texts):
        return ByteLevel(add_prefix_space=False)
    return Sequence([Split(Regex(PATTERN), "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)])


def _has_long_runs(text: str) -> bool:
    return max(map(len, text.split()), default=0) > LONGEST or LONG_SPACE.search(text) is not None


def _has_many_marks(texts: list[str]) -> bool:
    beginnings = [text[:LOOKED_AT] for text in texts if not text.isascii()]
    marks = sum(len(found) for text in beginnings for found in MARKS.findall(text))
    return marks > MANY_MARKS * sum(min(len(text), LOOKED_AT) for text in texts)


def repetitive(texts: list[str]) -> list[str]:
    """The texts, or a sample if few words repeat: training a unigram model takes time for each distinct word."""
    slices = [text[i : i + SLICE] for text in texts for i in range(0, len(text), SLICE)]
    some = list(islice(slices, 4 * DISTINCT // SLICE))
    distinct = sum(map(len, {word for text in some for word in text.split()}))
    if distinct > DISTINCT and distinct > sum(map(len, some)) / 2:
        return spread(slices, DISTINCT)
    return texts


def spread(texts: Iterable[str], most: int) -> list[str]:
    """All texts, or every second, fourth, eighth, ..., so that they have at most ``most`` characters."""
    kept: list[str] = []
    step, total = 1, 0
    for i, text in enumerate(texts):
        if i % step:
            continue
        kept.append(text)
        total += len(text)
        while total > most and len(kept) > 1:
            kept, step = kept[::2], 2 * step
            total = sum(map(len, kept))
    return kept
