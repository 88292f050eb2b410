"""The base of tokenizers with a vocabulary of words: counting, ids and encoding."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import regex

from textloom.tokenizers.base import (
    END,
    UNKNOWN,
    WHITE_SPACE,
    Encoded,
    EncodedDocuments,
    Tokenizer,
    blocks,
    grouped,
    last_match,
)
from textloom.tokenizers.byte import bytes_of_text, valid_text
from textloom.tokenizers.splitting.reading import END_PIECE, SPACE, ChunkEncoder, ChunkReader, SplittingRules, closed
from textloom.tokenizers.splitting.segmentation import EXTENDING, LETTER

log = logging.getLogger(__name__)

MOST_COUNTED = 1 << 21  # distinct words in memory: half a gigabyte
CUT = regex.compile(
    rf"(?<=[{LETTER}--{EXTENDING}]\p{{M}}{{0,3}}) (?={LETTER})|(?<=[^{WHITE_SPACE}])[{WHITE_SPACE}--\ ]", regex.V1
)


@dataclass(frozen=True)
class WordVocabulary(Tokenizer):
    """Special tokens come first, then words by falling frequency in the training text."""

    rules: ClassVar[SplittingRules]
    specials: ClassVar[tuple[str, ...]] = (UNKNOWN, END)
    special_pieces: ClassVar[dict[str, int]] = {}
    """Pieces of a text whose ids are those of special tokens."""

    words: tuple[str, ...]
    lowercase: bool

    @classmethod
    def fit(
        cls,
        documents: Iterable[Iterable[str]],
        lowercase: bool,
        minimum_frequency: int = 1,
        maximum_size: int | None = None,
    ) -> Self:
        """The vocabulary of some documents: the words that are frequent enough, the most frequent first."""
        counts = count_pieces(cls._lowered_blocks(documents, lowercase), cls.rules, cls.block)
        for piece in cls.special_pieces:
            del counts[piece]
        kept = [word for word, count in counts.items() if count >= minimum_frequency]
        kept.sort(key=lambda word: (-counts[word], word))
        return cls(tuple(kept[: max(0, maximum_size - len(cls.specials))] if maximum_size else kept), lowercase)

    @classmethod
    def _lowered_blocks(cls, documents: Iterable[Iterable[str]], lowercase: bool) -> Iterator[str]:
        for document in documents:
            for block in blocks(document, cut_between_words, cls.block):
                yield block.lower() if lowercase else block

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids, 0 up to this."""
        return len(self.words) + len(self.specials)

    @property
    def unknown_id(self) -> int:
        """The id of ``<unk>``."""
        return 0

    @property
    def end_id(self) -> int:
        """The id of ``<eos>``."""
        return 1

    def token_text(self, token: int) -> str:
        """A token in reports: its text, or the name of a special token."""
        return self._symbols[token]

    def safe_cut(self, text: str) -> tuple[str, str]:
        """Cut between two words, or before white space that is not a single space."""
        return cut_between_words(text)

    def to_dict(self) -> dict[str, Any]:
        """The words, and whether case is folded."""
        return {"level": self.kind, **asdict(self), "words": list(self.words)}

    @cached_property
    def _symbols(self) -> list[str]:
        return [*self.specials, *map(valid_text, self.words)]

    @cached_property
    def _encoder(self) -> ChunkEncoder:
        ids = {word: i for i, word in enumerate(self.words, start=len(self.specials))}
        return ChunkEncoder(
            self.rules, ids | self.special_pieces | {END_PIECE: self.end_id}, self.unknown_id, self.dtype
        )

    def _read(self, text: str) -> str:
        return text.lower() if self.lowercase else text

    def _before_end(self, document: str) -> str:
        """The text of a document that is encoded before its ``<eos>``."""
        return self._read(document)

    def _encode(self, text: str) -> Encoded:
        ids, unknown, _ = self._encoder.encode(bytes_of_text(self._read(text)))
        return Encoded(ids, unknown)

    def encode_documents(self, documents: Iterable[str]) -> Iterator[EncodedDocuments]:
        """Encode documents; short ones together, because each call has a cost."""
        for group in grouped(documents, self.block):
            if sum(map(len, group)) < 2 * self.block:
                yield self._encoder.encode(closed(map(self._before_end, group)))
            else:
                yield from super().encode_documents(group)


def cut_between_words(text: str) -> tuple[str, str]:
    """Cut a text at the last single space between words, which is dropped, or before the last other white space."""
    space = last_match(CUT, text)
    if space is None:
        return "", text
    return text[: space.start()], text[space.end() if space[0] == SPACE else space.start() :]


def count_pieces(texts: Iterable[str], rules: SplittingRules, block: int) -> Counter[str]:
    """Count the pieces of some texts.

    Memory is bounded by lossy counting (Manku and Motwani 2002, "Approximate frequency counts over data streams"):
    if there are too many distinct pieces, the rarest are dropped and, if they occur again, counted from zero.
    """
    counts: Counter[str] = Counter()
    reader, seen, dropped = ChunkReader(rules), np.empty(0, dtype=np.int64), 0
    for group in grouped(texts, block):
        if reader.full:
            dropped = _bring_in(counts, reader, seen, dropped)
            reader, seen = ChunkReader(rules), np.empty(0, dtype=np.int64)
        numbers, spaces = reader.read(closed(group))
        seen = np.append(seen, np.zeros(len(reader.counts) - len(seen), dtype=np.int64))
        seen += np.bincount(numbers, minlength=len(seen))
        counts[SPACE] += int(spaces.sum())
    dropped = _bring_in(counts, reader, seen, dropped)
    del counts[END_PIECE]
    if dropped:
        log.warning("more than %s distinct words: some of those met up to %d times are left out", MOST_COUNTED, dropped)
    return +counts


def _bring_in(counts: Counter[str], reader: ChunkReader, seen: np.ndarray, dropped: int) -> int:
    """Add the counts of a reader, and return the count up to which pieces were dropped."""
    for piece, times in zip(reader.new_pieces, np.repeat(seen, reader.counts.values).tolist(), strict=True):
        counts[piece] += times
    while len(counts) > MOST_COUNTED:
        dropped += 1
        for piece in [piece for piece, count in counts.items() if count <= dropped]:
            del counts[piece]
    return dropped
