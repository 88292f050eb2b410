"""Memorization: copies of the training text in a generated text."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from textloom.evaluation.score import perplexity
from textloom.ngram.fit import fit_order
from textloom.ngram.model import NgramModel
from textloom.tokenizers import Tokenizer

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, so that it has an inverse modulo 2**64
INVERSE = np.uint64(pow(int(MULTIPLIER), -1, 1 << 64))
SEARCHED_AT_ONCE = 1 << 20  # tokens
COUNTED = 1_000_000  # tokens of the training text that the n-gram is counted on, which takes some seconds
ORDERS = (5, 3)  # of the n-gram for characters and bytes, and for words and their parts
LENGTHS = (16, 4)  # tokens of the n-grams that are looked up, for the same


@dataclass(frozen=True)
class Memorization:
    """Comparison of a text with the training text. No n-gram reaches across the beginning of the text."""

    longest_copy: int
    """Tokens of the longest part that stands in the training text as it is."""
    copied: str
    """The text of this part."""
    new_ngrams: float | None
    """Share of the n-grams of the text that are not in the training text; None if the text is shorter."""
    distinct: float | None
    """Distinct n-grams / n-grams of the text (Li et al. 2016, arXiv 1510.03055); 1 if nothing is repeated."""
    n: int
    """Tokens of these n-grams."""
    ngram_perplexity: float | None
    """Perplexity of the text under an n-gram model of the training text: low if it only joins what stands there. None
    if it was not counted."""

    def to_dict(self) -> dict[str, int | float | str | None]:
        """The figures in plain JSON types."""
        perplexity = None if self.ngram_perplexity is None else round(self.ngram_perplexity, 4)
        return {**asdict(self), "ngram_perplexity": perplexity}

    def __str__(self) -> str:
        shares = [f"{name} {share:.1%}" for name, share in (("new", self.new_ngrams), ("distinct", self.distinct))
                  if share is not None]  # fmt: skip
        parts = [f"longest copy of training text: {self.longest_copy} tokens {self.copied!r}"]
        if shares:
            parts.append(f"{self.n}-grams: {', '.join(shares)}")
        if self.ngram_perplexity is not None:
            parts.append(f"perplexity under an n-gram {self.ngram_perplexity:.3g}")
        return "; ".join(parts)


class TrainingText:
    """The training text as tokens, to compare generated texts with; ``with_ngrams`` counts an n-gram model of it."""

    def __init__(self, tokens: np.ndarray, tokenizer: Tokenizer, with_ngrams: bool = True):
        self._tokens, self._tokenizer = tokens, tokenizer
        kind = int(tokenizer.writes_spaces)
        self.n = LENGTHS[kind]
        self._ngrams: NgramModel | None = None
        if with_ngrams:
            self._ngrams = fit_order(tokens[:COUNTED], tokenizer.vocabulary_size, tokenizer.end_id, ORDERS[kind])

    def compare(self, ids: Sequence[int], context: Sequence[int] = ()) -> Memorization:
        """The memorization of a text; ``context`` are the tokens before it, which the n-gram sees."""
        text = np.array(ids, dtype=np.int64)
        begin, length = longest_copy(text, self._tokens)
        total = max(0, len(text) - self.n + 1)
        new = distinct = None
        if total:
            windows = np.lib.stride_tricks.sliding_window_view(text, self.n)
            distinct = len(np.unique(windows, axis=0)) / total
            new = 1 - float(contained(text, self._tokens, self.n).mean())
        copied = self._tokenizer.decode(text[begin : begin + length].tolist())
        return Memorization(length, copied, new, distinct, self.n, self._perplexity(text, context))

    def _perplexity(self, text: np.ndarray, context: Sequence[int]) -> float | None:
        if self._ngrams is None or not len(text):
            return None
        tokens = np.concatenate([[self._tokenizer.end_id], np.array(context, dtype=np.int64), text])
        return ngram_perplexity(self._ngrams, tokens, len(text))


def ngram_perplexity(ngrams: NgramModel, tokens: np.ndarray, last: int) -> float:
    """Perplexity of the last tokens of a document under an n-gram model."""
    probabilities, _ = ngrams.predict(tokens)
    return perplexity(-float(np.log(probabilities[-last:]).mean()))


def longest_copy(text: np.ndarray, source: np.ndarray) -> tuple[int, int]:
    """Position and length of the longest part of a text that occurs in a source, found by bisection of the length.

    Windows are compared by hashes of 64 bits: two different ones are taken for equal once in 10**12 texts.
    """
    fewest, most, begin = 0, min(len(text), len(source)), 0
    while fewest < most:
        length = (fewest + most + 1) // 2
        places = np.flatnonzero(contained(text, source, length))
        if len(places):
            fewest, begin = length, int(places[0])
        else:
            most = length - 1
    return begin, fewest


def contained(text: np.ndarray, source: np.ndarray, length: int) -> np.ndarray:
    """Mask of the windows of a text, (tokens - length + 1,), that occur in a source."""
    wanted = _hashes(text, length)
    distinct, inverse = np.unique(wanted, return_inverse=True)
    found = np.zeros(len(distinct), dtype=bool)
    for part in _parts(source, length):
        hashes = _hashes(part, length)
        places = np.minimum(np.searchsorted(distinct, hashes), len(distinct) - 1)
        found[places[distinct[places] == hashes]] = True
    return np.asarray(found[inverse])


def _parts(source: np.ndarray, length: int) -> Iterator[np.ndarray]:
    """The source in parts that overlap, so that each window is in one of them."""
    for begin in range(0, len(source) - length + 1, SEARCHED_AT_ONCE):
        yield source[begin : begin + SEARCHED_AT_ONCE + length - 1]


def _hashes(tokens: np.ndarray, length: int) -> np.ndarray:
    """A hash of each window, modulo 2**64: sums of (token + 1) * MULTIPLIER ** place, shifted to a common place."""
    mixed = (tokens.astype(np.uint64) + np.uint64(1)) * np.uint64(0xD1342543DE82EF95)
    mixed ^= mixed >> np.uint64(32)  # or sums of small numbers would often be equal
    powers = np.cumprod(np.full(len(tokens), MULTIPLIER, dtype=np.uint64))
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed * powers)])
    shifts = np.cumprod(np.full(max(0, len(tokens) - length + 1), INVERSE, dtype=np.uint64))
    return np.asarray((sums[length:] - sums[: len(tokens) - length + 1]) * shifts)
