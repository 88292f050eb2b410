"""Overlap between splits: n-grams of words that occur in both, counted by their hashes.

Words are separated by white space and compared by their letters alone, whatever the tokenizer is.
"""

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from textloom.data.duplicates import Folding
from textloom.data.spool import DocumentSet
from textloom.tokenizers.base import blocks, cut_at_space
from textloom.tokenizers.byte import bytes_of_text
from textloom.tokenizers.splitting.chunks import ChunkNumbers, Column, find_chunks

LENGTH = 13  # words, as in Brown et al. (2020), "Language models are few-shot learners"
CHECKED = 1 << 22  # most n-grams that are looked up; of more, a share is drawn by their hash
FILTER = 1 << 26  # entries of the table that excludes most n-grams with one look-up
BLOCK = 1 << 20  # bytes
END = "\n\ufdd0\n"  # stands between documents: a code point that no text contains
NO_WORD, END_OF_DOCUMENT = np.uint64(0), np.uint64(1)


@dataclass(frozen=True)
class Overlap:
    """The share of one split that occurs in another, ignoring case and punctuation."""

    ngrams: int
    """Sequences of 13 words within the documents of the split, repetitions included."""
    checked: int
    """Number of those that were looked up."""
    found: int
    """Number of those that occur in the other split."""


def overlap(part: DocumentSet, other: DocumentSet) -> Overlap:
    """Count the n-grams of a split that occur in another."""
    ngrams = sum(len(hashes) for hashes in _ngrams(part))
    mask = np.uint64((1 << max(0, (ngrams // CHECKED).bit_length())) - 1)
    wanted = np.concatenate([np.zeros(0, np.uint64), *(h[(h & mask) == 0] for h in _ngrams(part))])
    wanted, counts = np.unique(wanted, return_counts=True)
    if not len(wanted):
        return Overlap(ngrams, 0, 0)
    table, found = np.zeros(FILTER, dtype=bool), np.zeros(len(wanted), dtype=bool)
    table[_place(wanted)] = True
    for hashes in _ngrams(other):
        some = hashes[(hashes & mask) == 0]
        some = some[table[_place(some)]]
        places = np.minimum(np.searchsorted(wanted, some), len(wanted) - 1)
        found[places[wanted[places] == some]] = True
    return Overlap(ngrams, int(counts.sum()), int(counts[found].sum()))


def _ngrams(part: DocumentSet) -> Iterator[np.ndarray]:
    """The hashes of all n-grams, in order, (n-grams,) uint64 of each block."""
    before = np.zeros(0, np.uint64)
    for hashes in _words(part):
        words = np.concatenate([before, hashes])
        before = words[max(0, len(words) - LENGTH + 1) :]
        if len(words) < LENGTH:
            continue
        ends = np.concatenate([[0], np.cumsum(words == END_OF_DOCUMENT)])
        within = ends[LENGTH:] == ends[:-LENGTH]
        one = _mixed(words)
        two = _joined(one, one, 1)
        four = _joined(two, two, 2)
        twelve = _joined(_joined(four, four, 4), four, 8)
        yield _joined(twelve, one, 12)[within]


def _words(part: DocumentSet) -> Iterator[np.ndarray]:
    """The hashes of the words, in order, (words,) uint64 of each block; END_OF_DOCUMENT after each document."""
    numbers, known = ChunkNumbers(), Column(np.uint64)
    for content in _contents(part):
        if numbers.full:
            numbers, known = ChunkNumbers(), Column(np.uint64)
        places, new = numbers.number(content, find_chunks(content))
        known.add(np.array([_hash(chunk) for chunk in new], dtype=np.uint64))
        hashes = known.values[places]
        yield hashes[hashes != NO_WORD]


def _contents(part: DocumentSet) -> Iterator[bytes]:
    """The documents end to end, in blocks that end between words."""
    texts, size = [], 0
    for document in part.documents():
        for text in itertools.chain(blocks(document, cut_at_space, BLOCK), [END]):
            texts.append(text)
            size += len(text)
            if size >= BLOCK:
                yield bytes_of_text("".join(texts))
                texts, size = [], 0
    yield bytes_of_text("".join(texts))


def _hash(chunk: bytes) -> np.uint64:
    text = chunk.decode()
    if text.strip() == END.strip():
        return END_OF_DOCUMENT
    letters = Folding().letters(text, ends=True)
    return np.frombuffer(hashlib.blake2b(letters, digest_size=8).digest(), np.uint64)[0] if letters else NO_WORD


def _joined(left: np.ndarray, right: np.ndarray, distance: int) -> np.ndarray:
    """The hashes of sequences that are made of two, ``distance`` words apart."""
    length = min(len(left), len(right) - distance)
    return _mixed(left[:length] * np.uint64(0x9E3779B97F4A7C15) + right[distance : distance + length])


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Mix the bits, so that each depends on all: half of MurmurHash3's finalizer."""
    numbers = (numbers ^ (numbers >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    mixed: np.ndarray = numbers ^ (numbers >> np.uint64(33))
    return mixed


def _place(hashes: np.ndarray) -> np.ndarray:
    places: np.ndarray = (hashes >> np.uint64(32)) & np.uint64(FILTER - 1)
    return places
