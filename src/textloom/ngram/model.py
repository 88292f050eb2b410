"""An n-gram model with modified Kneser-Ney smoothing, interpolated: Chen and Goodman (1999), "An empirical study of
smoothing techniques for language modeling", section 3.

The n-grams of each length lie in one sorted array. An n-gram is identified by the index of its first n-1 tokens in the
array of the shorter ones, and by its last token: ``key = index * vocabulary_size + token``. Contexts never reach across
the beginning of a document, which is the ``<eos>`` before it; n-grams that start there keep their plain counts
(Heafield et al. 2013, "Scalable modified Kneser-Ney language model estimation").
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

FALLBACK_DISCOUNTS = np.array([0.0, 0.5, 1.0, 1.5])  # those of KenLM, for a text that is too small to estimate them


@dataclass(frozen=True)
class Level:
    """The n-grams of one length k, and their contexts, of k - 1 tokens."""

    keys: np.ndarray
    """(ngrams,) int64, ascending; of length 1 the whole vocabulary."""
    probabilities: np.ndarray
    """(ngrams,) float64, probability of the last token after the others."""
    backoffs: np.ndarray
    """(contexts,) float64: factor on the probability after the shorter context, of tokens not counted here."""
    best_tokens: np.ndarray
    """(contexts,) int64: the likeliest of the tokens counted after this context."""
    best_probabilities: np.ndarray
    """(contexts,) float64: the probability of that token; 0 if none was counted."""

    def find(self, contexts: np.ndarray, tokens: np.ndarray, vocabulary_size: int) -> np.ndarray:
        """The index of each n-gram, (targets,); -1 if it, or its context (-1), was not counted."""
        wanted = contexts * vocabulary_size + tokens
        places = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return np.where((contexts >= 0) & (self.keys[places] == wanted), places, -1)


@dataclass(frozen=True)
class NgramModel:
    """Probabilities of the next token after up to ``order - 1`` tokens."""

    vocabulary_size: int
    end_id: int
    levels: tuple[Level, ...]

    @property
    def order(self) -> int:
        """Length of the longest n-grams."""
        return len(self.levels)

    @property
    def parameters(self) -> int:
        """Number of stored values: a probability for each n-gram, a factor for each context."""
        return sum(len(level.keys) + int(np.count_nonzero(level.best_probabilities)) for level in self.levels)

    def predict(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probability of every token but the first, and the likeliest token in its place: (targets,) each."""
        targets = tokens[1:].astype(np.int64)
        reach = context_lengths(tokens, self.end_id)
        probability = np.full(len(targets), 1 / self.vocabulary_size)
        best_token, best_probability = np.zeros_like(targets), probability
        ending_here = np.zeros(len(tokens), dtype=np.int64)  # index of the (k-1)-gram that ends at each token
        for length, level in enumerate(self.levels, start=1):
            context = np.where(reach >= length - 1, ending_here[:-1], -1)
            backoff = np.where(context >= 0, level.backoffs[context], 1.0)
            found = level.find(context, targets, self.vocabulary_size)
            probability = np.where(found >= 0, level.probabilities[found], backoff * probability)
            # a counted token is never less likely than by the shorter context alone, so two candidates suffice
            counted = np.where(context >= 0, level.best_probabilities[context], 0.0)
            best_token = np.where(counted >= backoff * best_probability, level.best_tokens[context], best_token)
            best_probability = np.maximum(counted, backoff * best_probability)
            ending_here = np.append(int(tokens[0]) if length == 1 else -1, found)
        return probability, best_token

    def score(self, tokens: np.ndarray) -> tuple[float, int]:
        """Summed negative log-likelihood of all tokens but the first, and how many of them were the likeliest."""
        probability, likeliest = self.predict(tokens)
        return -float(np.log(probability).sum()), int((likeliest == tokens[1:]).sum())

    def distribution(self, context: np.ndarray) -> np.ndarray:
        """The probability of every token after a context: (tokens,) -> (vocabulary,)."""
        ends = np.flatnonzero(context == self.end_id)
        context = context[ends[-1] :] if len(ends) else context
        probability = np.full(self.vocabulary_size, 1 / self.vocabulary_size)
        for length, level in enumerate(self.levels[: len(context) + 1], start=1):
            index = self._index(context[len(context) - length + 1 :])
            if index < 0:
                break
            key = index * self.vocabulary_size  # of this context and token 0
            first, last = np.searchsorted(level.keys, [key, key + self.vocabulary_size])
            probability *= level.backoffs[index]
            probability[level.keys[first:last] - key] = level.probabilities[first:last]
        return probability

    def _index(self, ngram: np.ndarray) -> int:
        index = np.zeros(1, dtype=np.int64)
        for level, token in zip(self.levels, ngram.astype(np.int64), strict=False):
            index = level.find(index, token[None], self.vocabulary_size)
        return int(index[0])


def fit_orders(tokens: np.ndarray, vocabulary_size: int, end_id: int, largest_order: int) -> Iterator[NgramModel]:
    """Fit models of order 1, 2, ... up to the largest order or the longest n-grams of the text.

    Each is built on the counts of the one before. The longest n-grams keep their counts; of shorter ones the number of
    different tokens before them is counted (equation 24).
    """
    targets = tokens[1:].astype(np.int64)
    reach = context_lengths(tokens, end_id)
    ending_here = np.zeros(len(tokens), dtype=np.int64)
    shorter: list[Level] = []
    before: _Counted | None = None
    for length in range(1, largest_order + 1):
        inside = np.flatnonzero(reach >= length - 1)  # targets whose n-gram lies within one document
        if not len(inside):
            return
        keys = ending_here[inside] * vocabulary_size + targets[inside]
        counted, ending_here = _count(keys, inside, ending_here, length, before, vocabulary_size, end_id)
        if before is not None:
            extended = np.bincount(counted.suffixes, minlength=len(before.keys))
            counts = np.where(before.from_beginning, before.counts, extended)
            shorter.append(_estimate(before, counts, shorter, vocabulary_size))
        top = _estimate(counted, counted.counts, shorter, vocabulary_size)
        ending_here[0] = int(tokens[0]) if length == 1 else -1
        yield NgramModel(vocabulary_size, end_id, (*shorter, top))
        before = counted


def context_lengths(tokens: np.ndarray, end_id: int) -> np.ndarray:
    """Number of tokens before each token but the first, in its document and with the ``<eos>`` before that."""
    places = np.arange(len(tokens))
    beginnings = np.maximum.accumulate(np.where(tokens == end_id, places, 0))
    return places[1:] - beginnings[:-1]


# --- counting and smoothing -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Counted:
    """The n-grams of one length in the text."""

    keys: np.ndarray  # (ngrams,)
    counts: np.ndarray  # (ngrams,)
    suffixes: np.ndarray  # (ngrams,): index of the n-gram without its first token, one level down
    from_beginning: np.ndarray  # (ngrams,) bool: starts with <eos>, so no token can be before it
    contexts: int  # n-grams one level down


def _count(
    keys: np.ndarray,
    inside: np.ndarray,
    ending_before: np.ndarray,
    length: int,
    before: _Counted | None,
    vocabulary_size: int,
    end_id: int,
) -> tuple[_Counted, np.ndarray]:
    """Count the n-grams of one length. The second result is the index of the one that ends at each token; -1: none."""
    if before is None:
        distinct = np.arange(vocabulary_size)
        counted = _Counted(
            distinct,
            np.bincount(keys, minlength=vocabulary_size),
            np.zeros_like(distinct),
            np.zeros(vocabulary_size, dtype=bool),
            contexts=1,
        )
        places = keys
    else:
        distinct, first, places, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
        prefixes = distinct // vocabulary_size
        from_beginning = prefixes == end_id if length == 2 else before.from_beginning[prefixes]
        counted = _Counted(distinct, counts, ending_before[inside[first] + 1], from_beginning, len(before.keys))
    ending_here = np.full(len(ending_before), -1, dtype=np.int64)
    ending_here[inside + 1] = places
    return counted, ending_here


def _estimate(counted: _Counted, counts: np.ndarray, shorter: list[Level], vocabulary_size: int) -> Level:
    """Discounted counts, interpolated with the probabilities after the shorter context."""
    discounts = discounts_of(counts)[np.minimum(counts, 3)]
    prefixes = counted.keys // vocabulary_size
    totals = np.bincount(prefixes, weights=counts, minlength=counted.contexts)  # (contexts,)
    reserved = np.bincount(prefixes, weights=discounts, minlength=counted.contexts)
    backoffs = np.divide(reserved, totals, out=np.ones_like(totals), where=totals > 0)
    lower = shorter[-1].probabilities if shorter else np.array([1 / vocabulary_size])
    own = np.divide(counts - discounts, totals[prefixes], out=np.zeros(len(counts)), where=totals[prefixes] > 0)
    probabilities = own + backoffs[prefixes] * lower[counted.suffixes]
    return Level(counted.keys, probabilities, backoffs, *_best(prefixes, counted, probabilities, vocabulary_size))


def discounts_of(counts: np.ndarray) -> np.ndarray:
    """The discounts of n-grams that were counted 0, 1, 2 and more times (equation 26)."""
    n1, n2, n3, n4 = (float(np.count_nonzero(counts == times)) for times in (1, 2, 3, 4))
    if not (n1 and n2 and n3 and n4):
        return FALLBACK_DISCOUNTS
    y = n1 / (n1 + 2 * n2)
    discounts = np.array([0.0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3])
    return discounts if (discounts[1:] > 0).all() else FALLBACK_DISCOUNTS


def _best(
    prefixes: np.ndarray, counted: _Counted, probabilities: np.ndarray, vocabulary_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest token after each context, the first of equals, and its probability: (contexts,) each."""
    order = np.lexsort((-probabilities, prefixes))
    present, first = np.unique(prefixes, return_index=True)  # keys ascend, so each context's n-grams lie together
    tokens, best = np.zeros(counted.contexts, dtype=np.int64), np.zeros(counted.contexts)
    tokens[present] = counted.keys[order[first]] % vocabulary_size
    best[present] = probabilities[order[first]]
    return tokens, best
