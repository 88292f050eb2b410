"""The text of an inspection: its tokens, the characters of each, and the boundaries of documents."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from textloom.config.source_keys import Form
from textloom.data.encoding import TokenSplit
from textloom.data.normalization import Normalizer
from textloom.data.reading.contents import contents_of
from textloom.data.reading.decoding import text_pieces
from textloom.data.reading.files import find_files
from textloom.errors import DataError
from textloom.tokenizers import Tokenizer

TEXT_FILES = frozenset((".txt", ".text", ".md"))
INCOMPLETE = "\ufffd"
LONGEST_CHARACTER = 4  # bytes in UTF-8


@dataclass(frozen=True)
class InspectedText:
    """The beginning of a text, as tokens."""

    tokens: np.ndarray
    """(tokens + 1,) int64: the end token before the text, then the tokens that are predicted."""
    boundaries: np.ndarray
    """(documents + 1,) int64: document k is predicted at tokens[boundaries[k] + 1 : boundaries[k + 1] + 1]."""
    pieces: list[str]
    """The characters of each predicted token; joined they are the text. Empty for a token that writes nothing."""
    source: str
    """Name of the source of the text."""
    is_cut: bool
    """True if only the beginning of the text was read."""

    def __len__(self) -> int:
        """Number of predicted tokens."""
        return len(self.tokens) - 1

    @property
    def positions(self) -> np.ndarray:
        """The position of each predicted token in its document, from 1, (tokens,)."""
        numbers = np.arange(1, len(self) + 1)
        documents = np.searchsorted(self.boundaries, numbers, side="left") - 1
        positions: np.ndarray = numbers - self.boundaries[documents]
        return positions


def text_of_split(split: TokenSplit, name: str, tokenizer: Tokenizer, most: int) -> InspectedText:
    """The first ``most`` tokens of a split."""
    tokens = np.asarray(split.read(0, most + 1)).astype(np.int64)
    boundaries = np.append(split.boundaries[split.boundaries < len(tokens) - 1], len(tokens) - 1)
    pieces = token_pieces(tokenizer, tokens[1:].tolist())
    return InspectedText(tokens, boundaries, pieces, name, len(split.tokens) - 1 > most)


def text_of_file(path: str, tokenizer: Tokenizer, form: Form | None, most: int) -> InspectedText:
    """The first ``most`` tokens of a file, read as one document; no more of the file than that is encoded.

    Raises DataError if there is no such file, if it cannot be read as text, or if it is empty.
    """
    file: Path = find_files((path,), "text")[0]
    content = contents_of(file, TEXT_FILES, [])[0]
    texts = (text for text, _ in text_pieces(content, Normalizer(form)))
    parts = [np.array([tokenizer.end_id])]
    for encoded in tokenizer.encode_pieces(texts):
        parts.append(encoded.ids.astype(np.int64))
        if sum(map(len, parts)) > most + 1:
            break
    tokens = np.concatenate(parts)
    if len(tokens) == 1:
        raise DataError(f"text={path}: the file is empty; give one that holds text")
    kept = tokens[: most + 1]
    pieces = token_pieces(tokenizer, kept[1:].tolist())
    return InspectedText(kept, np.array([0, len(kept) - 1]), pieces, path, len(tokens) > len(kept))


def token_pieces(tokenizer: Tokenizer, tokens: Sequence[int]) -> list[str]:
    """The characters that each token adds to the text.

    Tokens are decoded after the one before them, because the space before a word depends on it. A character of several
    byte tokens belongs to the last of them.
    """
    pieces: list[str] = []
    while len(pieces) < len(tokens):
        place = len(pieces)
        before = list(tokens[max(0, place - 1) : place])
        known = len(tokenizer.decode(before))
        first = ""
        for width in range(1, min(LONGEST_CHARACTER, len(tokens) - place) + 1):
            added = tokenizer.decode([*before, *tokens[place : place + width]])[known:]
            first = first or added
            if INCOMPLETE not in added:
                pieces += [*[""] * (width - 1), added]
                break
        else:
            pieces.append(first)
    return pieces


def last_characters(pieces: Iterable[str]) -> np.ndarray:
    """The index of each token's last character in the joined text, (tokens,); -1 before the first character."""
    ends: np.ndarray = np.cumsum([len(piece) for piece in pieces]) - 1
    return ends
