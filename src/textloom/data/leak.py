"""Whether a part of the corpus stands in another: n-grams of tokens that both have, counted by their hashes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from textloom.data.encoding import TokenSplit

LENGTH = (
    13  # tokens, the length at which Brown et al. (2020), "Language models are few-shot learners", look for overlap
)
CHECKED = 1 << 22  # n-grams at most; of more a share is drawn by their hash
FILTER = 1 << 26  # entries of the table that says at once that an n-gram is not looked for
BLOCK = 1 << 20  # tokens


@dataclass(frozen=True)
class Overlap:
    """How much of one part stands verbatim in another."""

    ngrams: int
    """Sequences of 13 tokens in the part, within a document and without ``<unk>``, repetitions included."""
    checked: int
    """How many of them were looked for."""
    found: int
    """How many of those stand in the other part."""


def overlap(part: TokenSplit, other: TokenSplit, left_out: tuple[int, ...]) -> Overlap:
    """How many n-grams of a part stand in another. ``left_out``: tokens that no n-gram may hold."""
    ngrams = sum(len(hashes) for hashes in _ngrams(part, left_out))
    mask = np.uint64((1 << max(0, (ngrams // CHECKED).bit_length())) - 1)
    wanted = np.concatenate([np.zeros(0, np.uint64), *(h[(h & mask) == 0] for h in _ngrams(part, left_out))])
    wanted, counts = np.unique(wanted, return_counts=True)
    if not len(wanted):
        return Overlap(ngrams, 0, 0)
    table, found = np.zeros(FILTER, dtype=bool), np.zeros(len(wanted), dtype=bool)
    table[_place(wanted)] = True
    for hashes in _ngrams(other, left_out):
        some = hashes[(hashes & mask) == 0]
        some = some[table[_place(some)]]
        places = np.minimum(np.searchsorted(wanted, some), len(wanted) - 1)
        found[places[wanted[places] == some]] = True
    return Overlap(ngrams, int(counts.sum()), int(counts[found].sum()))


def _ngrams(part: TokenSplit, left_out: tuple[int, ...]) -> Iterator[np.ndarray]:
    """The hashes of all n-grams, in order, (n-grams,) uint64 of each block."""
    for begin in range(1, len(part.tokens), BLOCK):
        tokens = part.read(begin, begin + BLOCK + LENGTH - 1)
        if len(tokens) < LENGTH:
            return
        barred = np.concatenate([[0], np.cumsum(np.isin(tokens, left_out))])
        whole = barred[LENGTH:] == barred[:-LENGTH]
        one = _mixed(tokens.astype(np.uint64) + np.uint64(1))
        two = _joined(one, one, 1)
        four = _joined(two, two, 2)
        twelve = _joined(_joined(four, four, 4), four, 8)
        yield _joined(twelve, one, 12)[whole]


def _joined(left: np.ndarray, right: np.ndarray, distance: int) -> np.ndarray:
    """The hashes of sequences made of two that lie so many tokens apart."""
    length = min(len(left), len(right) - distance)
    return _mixed(left[:length] * np.uint64(0x9E3779B97F4A7C15) + right[distance : distance + length])


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Numbers whose every bit depends on all bits: the finalizer of MurmurHash3, halved."""
    numbers = (numbers ^ (numbers >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    mixed: np.ndarray = numbers ^ (numbers >> np.uint64(33))
    return mixed


def _place(hashes: np.ndarray) -> np.ndarray:
    places: np.ndarray = (hashes >> np.uint64(32)) & np.uint64(FILTER - 1)
    return places
