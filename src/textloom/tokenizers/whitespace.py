"""Words between white space, and ``<eos>`` at line ends, as for the published figures of Penn Treebank and WikiText."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from textloom.tokenizers.splitting.reading import SplittingRules
from textloom.tokenizers.splitting.words import WordVocabulary

LINE_END = "\n"


def split_at_white_space(text: str) -> list[str]:
    """Split a text at white space; line ends are words."""
    return re.findall(r"\S+|\n", text)


@dataclass(frozen=True)
class WhitespaceTokenizer(WordVocabulary):
    """Ids follow the frequency in the training text, after ``<unk>`` and ``<eos>``.

    A line end is the same token as the end of a document, so a document that ends with one gets no other. Decoding
    writes a single space between words, whatever white space the text had.
    """

    kind: ClassVar[str] = "whitespace"
    rules: ClassVar[SplittingRules] = SplittingRules(split_at_white_space, lambda words: (False, False))
    special_pieces: ClassVar[dict[str, int]] = {LINE_END: 1}

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token ids, with a line end for each ``<eos>``."""
        lines: list[list[str]] = [[]]
        for i in ids:
            if i == self.end_id:
                lines.append([])
            else:
                lines[-1].append(self._symbols[i])
        return LINE_END.join(map(" ".join, lines))

    def _before_end(self, document: str) -> str:
        lines, end, after = document.rpartition(LINE_END)
        return super()._before_end(lines if end and not after.strip() else document)
