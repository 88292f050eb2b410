"""Encoding text into token ids against Python's ``str.split`` and a dict, per core, by turns in one process.

The text is WikiText-2 where ``TEXTLOOM_TEST_DATA`` names a folder that has it, else one made up. Times are of this
process's CPU. The reference keeps no spaces, no marks and no unknown words: it is the least that Python can do. Ours
are the tokens as ``data/encoding.py`` writes them to the store.
"""

import os
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import numpy as np

from benchmarks.rows import Row
from textloom.tokenizers.base import Tokenizer
from textloom.tokenizers.byte import ByteTokenizer
from textloom.tokenizers.char import CharTokenizer
from textloom.tokenizers.subword import BPETokenizer
from textloom.tokenizers.whitespace import WhitespaceTokenizer
from textloom.tokenizers.word import WordTokenizer

SIZE = 30_000_000  # characters
DOCUMENT = 1_000_000
ROUNDS = 3
SLOW = 3_000_000  # characters for what runs at a few megabytes a second
LOWER = "word, lower case"
MUST = {"char": 5.0, "word": 2.0, LOWER: 2.0}


def real_text() -> str | None:
    """Of about ten million characters."""
    path = Path(os.environ.get("TEXTLOOM_TEST_DATA", "nowhere")) / "wikitext-2" / "train.txt"
    return path.read_text(encoding="utf-8") if path.exists() else None


def made_text(size: int) -> str:
    """Words by the law of Zipf and Mandelbrot, with marks and line ends."""
    rng = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlcumwfgypbvk"))
    lengths = rng.poisson(5, 200_000) + 1
    words = ["".join(rng.choice(letters, length)) for length in lengths]
    marks = np.array([""] * 17 + [",", ".", ".\n"])
    frequencies = 1 / (np.arange(len(words)) + 2.7) ** 1.07
    drawn = rng.choice(len(words), size // 6, p=frequencies / frequencies.sum())
    ends = marks[rng.integers(len(marks), size=len(drawn))]
    return " ".join(words[i] + end for i, end in zip(drawn.tolist(), ends.tolist(), strict=True))


def documents(text: str, size: int) -> list[str]:
    """The text, repeated, in documents that end with a line."""
    parts, total = [], 0
    lines = text.splitlines(keepends=True)
    step = max(1, DOCUMENT * len(lines) // len(text))
    blocks = ["".join(lines[i : i + step]) for i in range(0, len(lines), step)]
    for block in cycle(blocks):
        if total >= size:
            return parts
        parts.append(block)
        total += len(block)
    raise AssertionError


def pieces(texts: list[str]) -> Iterator[tuple[str]]:
    """The texts as documents of one piece each."""
    return ((text,) for text in texts)


def split_and_look_up(texts: list[str], vocabulary: dict[str, int], lowercase: bool) -> None:
    """What everybody writes first."""
    for text in texts:
        ids = []
        for word in (text.lower() if lowercase else text).split():
            ids.append(vocabulary[word])
        np.array(ids, dtype=np.uint32)


def encode(texts: list[str], tokenizer: Tokenizer) -> None:
    """As the store does."""
    for encoded in tokenizer.encode_documents(texts):
        encoded.ids.tobytes()


def cpu_seconds(work: Callable[[], None]) -> float:
    """CPU time of this process and its threads."""
    began = time.process_time()
    work()
    return time.process_time() - began


def main(quick: bool = False) -> list[Row]:
    """MB of UTF-8 a second, ours and the reference's, the median of the rounds."""
    size, slow = (100_000, 10_000) if quick else (SIZE, SLOW)
    real = real_text()
    text = real or made_text(size)
    texts, few = documents(text, size), documents(text, slow)
    words = (word for part in texts for word in [*part.split(), *part.lower().split()])
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys(words))}
    speeds: dict[str, list[tuple[float, float]]] = {}
    for _ in range(ROUNDS):
        for name, (tokenizer, given) in _fitted(texts, few).items():
            megabytes = sum(len(part.encode()) for part in given) / 1e6
            lower = name == LOWER
            theirs = megabytes / cpu_seconds(
                lambda given=given, lower=lower: split_and_look_up(given, vocabulary, lower)
            )
            ours = megabytes / cpu_seconds(lambda given=given, tokenizer=tokenizer: encode(given, tokenizer))
            speeds.setdefault(name, []).append((ours, theirs))
    rows = []
    for name, pairs in speeds.items():
        ours, theirs = np.median(np.array(pairs), axis=0).tolist()
        ratio, work = float(np.median([a / b for a, b in pairs])), f"encoding, {name}"
        note = "" if real else "made-up text"
        rows.append(Row(work, "str.split and a dict", ours, theirs, "MB/s a core", ratio, MUST.get(name), note=note))
    return rows


def _fitted(texts: list[str], few: list[str]) -> dict[str, tuple[Tokenizer, list[str]]]:
    """Tokenizers that have learned nothing but their vocabulary, and what each is to encode."""
    lines = [line for part in texts for line in part.splitlines()]
    return {
        "char": (CharTokenizer.fit(pieces(texts), lowercase=False), texts),
        "byte": (ByteTokenizer(), texts),
        "word": (WordTokenizer.fit(pieces(texts), lowercase=False), texts),
        LOWER: (WordTokenizer.fit(pieces(texts), lowercase=True), texts),
        "word, lines as documents": (WordTokenizer.fit(pieces(texts), lowercase=False), lines),
        "word, 10,000 entries": (WordTokenizer.fit(pieces(texts), lowercase=False, maximum_size=10_000), texts),
        "whitespace": (WhitespaceTokenizer.fit(pieces(texts), lowercase=False), texts),
        "bpe, 4,096 entries": (BPETokenizer.fit(pieces(few), lowercase=False, maximum_size=4096), few),
    }
