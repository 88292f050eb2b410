"""The cost of spelling words that the vocabulary lacks.

Predicting ``<unk>`` does not predict the word. ``bits_per_char`` adds the cost of spelling the word with
the character frequencies of the training text, so that a small vocabulary has no advantage.
"""

from collections.abc import Iterable
from math import log

import numpy as np

from textloom.tokenizers.char import UNICODE_SIZE, code_points


class Spelling:
    """Character frequencies of some texts; an unseen character is drawn uniformly from all of Unicode."""

    def __init__(self, texts: Iterable[str]):
        counts = _frequencies(texts)
        total = int(counts.sum()) + 1  # one for all unseen characters
        self._nats = {chr(code): log(total / int(counts[code])) for code in np.flatnonzero(counts)}
        self._never_seen = log(total) + log(UNICODE_SIZE)

    def nats(self, pieces: Iterable[str]) -> float:
        """The cost of some pieces in nats, each with a space that marks its end."""
        return sum(self._nats.get(character, self._never_seen) for piece in pieces for character in piece + " ")


def _frequencies(texts: Iterable[str]) -> np.ndarray:
    """Count each character, (1,114,112,) int64."""
    counts, some, size = np.zeros(UNICODE_SIZE, dtype=np.int64), [], 0
    for text in texts:
        some.append(text)
        size += len(text)
        if size > UNICODE_SIZE:  # each count goes over the whole table, so many texts are counted at once
            counts += np.bincount(code_points("".join(some)), minlength=UNICODE_SIZE)
            some, size = [], 0
    counts += np.bincount(code_points("".join(some)), minlength=UNICODE_SIZE)
    return counts
