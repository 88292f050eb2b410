"""What it costs to spell a token that the vocabulary does not have.

A model that writes ``<unk>`` has not said which word it means. ``bits_per_char`` adds the cost of spelling the word
with the character frequencies of the training text, so that a small vocabulary cannot win by hiding words.
"""

from collections import Counter
from collections.abc import Iterable
from math import log

from textloom.tokenizers.char import UNICODE_SIZE


class Spelling:
    """Character frequencies of some documents; a character that they do not have is drawn from all of Unicode."""

    def __init__(self, documents: list[str]):
        counts: Counter[str] = Counter()
        for document in documents:
            counts.update(document)
        total = counts.total() + 1  # one for all that was never seen
        self._nats = {character: log(total / count) for character, count in counts.items()}
        self._never_seen = log(total) + log(UNICODE_SIZE)

    def nats(self, pieces: Iterable[str]) -> float:
        """The cost of some pieces, each with a space to mark its end."""
        return sum(self._nats.get(character, self._never_seen) for piece in pieces for character in piece + " ")
