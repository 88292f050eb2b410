"""A text other than the run's own, encoded with the run's tokenizer."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from textloom.config import ScoredTextConfig, TrainConfig
from textloom.data.documents import Piece
from textloom.data.encoding import TokenSplit
from textloom.data.sources import read_source
from textloom.data.sources.text_files import TextFilesConfig
from textloom.errors import DataError
from textloom.tokenizers import Tokenizer


@dataclass(frozen=True)
class OtherText:
    """The tokens of a text, and its fingerprint."""

    split: TokenSplit
    fingerprint: str


def read_other_text(config: ScoredTextConfig, trained: TrainConfig, tokenizer: Tokenizer, ends: bool) -> OtherText:
    """Read, normalize and encode the documents of some files; with ``ends`` the end of each is a target.

    Raises DataError if a file cannot be read, or has nothing that the tokenizer knows.
    """
    assert config.path is not None
    label = f"data.path={','.join(config.path)}"
    source = TextFilesConfig(
        kind="text_files", path=config.path, documents=config.documents, normalization=trained.data.normalization,
        validation_fraction=0.1, test_fraction=0.0, split_seed=0, fold_duplicates=False,
    )  # fmt: skip
    encoder = _Encoder(tokenizer)
    for document in _documents(read_source(source).splits["train"]):
        encoder.add(document)
    if not encoder.characters:
        raise DataError(f"{label}: the text is empty; give at least one character")
    known = sum(map(len, encoder.ids)) - len(encoder.ids) - encoder.unknown  # without the ends of documents
    if known <= 0:
        raise DataError(
            f"{label}: holds nothing that the run's tokenizer knows ({tokenizer.kind}, "
            f"{tokenizer.vocabulary_size:,} tokens); give a text of the kind that the run was trained on"
        )
    return OtherText(encoder.split(ends), encoder.digest.hexdigest())


def _documents(pieces: Iterable[Piece]) -> Iterator[list[str]]:
    """The pieces of each document."""
    document: list[str] = []
    for text, ends in pieces:
        document.append(text)
        if ends:
            yield document
            document = []


class _Encoder:
    """Documents as tokens, with ``<eos>`` before the first and after each."""

    def __init__(self, tokenizer: Tokenizer):
        self.tokenizer = tokenizer
        self.ids = [np.array([tokenizer.end_id], tokenizer.dtype)]
        self.boundaries = [0]
        self.characters = self.unknown = self.unknown_characters = 0
        self.digest = hashlib.sha256()

    def add(self, document: list[str]) -> None:
        """Add a document."""
        parts = list(self.tokenizer.encode_pieces(document))
        ids = np.concatenate([np.empty(0, self.tokenizer.dtype), *(part.ids for part in parts)])
        self.ids.append(np.concatenate([ids, self.tokenizer.end_after(ids)]))
        self.boundaries.append(self.boundaries[-1] + len(self.ids[-1]))
        self.characters += sum(map(len, document))
        self.unknown += sum(len(part.unknown) for part in parts)
        self.unknown_characters += sum(len(piece) for part in parts for piece in part.unknown)
        for text in document:
            self.digest.update(text.encode("utf-8", "surrogatepass"))
        self.digest.update(b"\0")

    def split(self, ends: bool) -> TokenSplit:
        """All documents; without ``ends`` the end of the last one is not a target."""
        tokens, boundaries = np.concatenate(self.ids), np.array(self.boundaries)
        if not ends and tokens[-1] == self.tokenizer.end_id:
            tokens, boundaries[-1] = tokens[:-1], boundaries[-1] - 1
        return TokenSplit(tokens, boundaries, self.characters, self.unknown, 0.0, self.unknown_characters)
