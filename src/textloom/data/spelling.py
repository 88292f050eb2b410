"""What it costs to spell a token that the vocabulary does not have.

A model that writes ``<unk>`` has not said which word it means. ``bits_per_char`` adds the cost of spelling the word
with the character frequencies of the training text, so that a small vocabulary cannot win by hiding words.
"""

from collections.abc import Iterable
from math import log

import numpy as np

from textloom.tokenizers.char import UNICODE_SIZE, code_points


class Spelling:
    """Character frequencies of some texts; a character that they do not have is drawn from all of Unicode."""

    def __init__(self, texts: Iterable[str]):
        counts = _frequencies(texts)
        total = int(counts.sum()) + 1  # one for all that was never seen
        self._nats = {chr(code): log(total / int(counts[code])) for code in np.flatnonzero(counts)}
        self._never_seen = log(total) + log(UNICODE_SIZE)

    def nats(self, pieces: Iterable[str]) -> float:
        """The cost of some pieces, each with a space to mark its end."""
        return sum(self._nats.get(character, self._never_seen) for piece in pieces for character in piece + " ")


def _frequencies(texts: Iterable[str]) -> np.ndarray:
    """How often each character occurs, (1,114,112,) int64."""
    counts, some, size = np.zeros(UNICODE_SIZE, dtype=np.int64), [], 0
    for text in texts:
        some.append(text)
        size += len(text)
        if size > UNICODE_SIZE:  # counting takes as long as the table is large, so many texts are counted at once
            counts += np.bincount(code_points("".join(some)), minlength=UNICODE_SIZE)
            some, size = [], 0
    counts += np.bincount(code_points("".join(some)), minlength=UNICODE_SIZE)
    return counts
