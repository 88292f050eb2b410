"""Encoding text into token ids against Python's ``str.split`` and a dict, per core, by turns in one process.

    python benchmarks/encoding.py [FILE]     a text file, repeated to tens of megabytes; without one a made text

Times are of this process's CPU. The reference keeps no spaces, no marks and no unknown words: it is the least that
Python can do. Ours are the tokens as ``data/encoding.py`` writes them to the store.
"""

import sys
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import numpy as np

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


class Row(NamedTuple):
    """One measurement."""

    name: str
    ours: float
    theirs: float
    ratio: float
    unit: str


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


def split_and_look_up(texts: list[str], vocabulary: dict[str, int]) -> None:
    """What everybody writes first."""
    for text in texts:
        ids = []
        for word in text.split():
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


def main(path: str | None = None) -> list[Row]:
    """MB of UTF-8 a second, ours and the reference's, the median of the rounds."""
    text = Path(path).read_text(encoding="utf-8") if path else made_text(SIZE)
    texts = documents(text, SIZE)
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys(word for part in texts for word in part.split()))}
    few = documents(text, SLOW)
    short = [line for part in texts for line in part.splitlines()]
    fitted: list[tuple[str, Tokenizer, list[str]]] = [
        ("char", CharTokenizer.fit(texts, lowercase=False), texts),
        ("byte", ByteTokenizer(), texts),
        ("word", WordTokenizer.fit(texts, lowercase=False), texts),
        ("word, lower case", WordTokenizer.fit(texts, lowercase=True), texts),
        ("word, lines as documents", WordTokenizer.fit(texts, lowercase=False), short),
        ("word, 10,000 entries", WordTokenizer.fit(texts, lowercase=False, maximum_size=10_000), texts),
        ("whitespace", WhitespaceTokenizer.fit(texts, lowercase=False), texts),
        ("bpe, 4,096 entries", BPETokenizer.fit(few, lowercase=False, maximum_size=4096), few),
    ]
    speeds: dict[str, list[tuple[float, float]]] = {name: [] for name, _, _ in fitted}
    for _ in range(ROUNDS):
        for name, tokenizer, given in fitted:
            size = sum(len(part.encode()) for part in given) / 1e6
            theirs = size / cpu_seconds(lambda given=given: split_and_look_up(given, vocabulary))
            tokenizer.__dict__.pop("_encoder", None)  # what it learned in the round before
            ours = size / cpu_seconds(lambda given=given, tokenizer=tokenizer: encode(given, tokenizer))
            speeds[name].append((ours, theirs))
    rows = []
    for name, pairs in speeds.items():
        ours, theirs = np.median(np.array(pairs), axis=0)
        rows.append(Row(f"encode, {name}", ours, theirs, float(np.median([a / b for a, b in pairs])), "MB/s per core"))
    return rows


if __name__ == "__main__":
    print(f"{'':32s} {'textloom':>10s} {'split+dict':>10s} {'ratio':>7s}")
    for row in main(*sys.argv[1:2]):
        print(f"{row.name:32s} {row.ours:10.1f} {row.theirs:10.1f} {row.ratio:6.2f}x  {row.unit}")
