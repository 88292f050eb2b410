"""Tokens on disk: each part of the corpus is encoded once into an array that batches read through memory mapping.

    <eos> first document <eos> second document <eos> ... last document <eos>

Every token but the first is a target, and the ``<eos>`` before a document is the context of its first token. Parts that
were cut from one document have no ``<eos>`` at their end: no document ends there.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from textloom.data.corpus import SPLITS, Corpus, SplitName
from textloom.data.spelling import Spelling
from textloom.errors import RunError
from textloom.files import file_checksum, read_json, write_json, written_whole
from textloom.tokenizers import Tokenizer


@dataclass(frozen=True)
class TokenSplit:
    """One part of the corpus as tokens."""

    tokens: np.ndarray
    """(targets + 1,) memory-mapped, in the smallest type that holds the vocabulary."""
    boundaries: np.ndarray
    """(documents + 1,) int64: document k's targets are tokens[boundaries[k] + 1 : boundaries[k + 1] + 1]."""
    characters: int
    """Characters of the raw text."""
    unknown: int
    """Tokens that are ``<unk>``."""
    spelling_nats: float
    """What it costs to spell the texts that those stand for."""

    @property
    def targets(self) -> int:
        """How many tokens are to be predicted: all of them."""
        return len(self.tokens) - 1

    @property
    def documents(self) -> int:
        """How many documents there are."""
        return len(self.boundaries) - 1


@dataclass(frozen=True)
class _Header:
    """What ``NAME.json`` says of ``NAME.tokens`` and ``NAME.boundaries``."""

    dtype: str
    tokens: int
    documents: int
    characters: int
    unknown: int
    spelling_nats: float
    tokens_sha256: str
    boundaries_sha256: str


def encode_corpus(corpus: Corpus, tokenizer: Tokenizer, directory: Path) -> dict[SplitName, TokenSplit]:
    """Write every part of the corpus below a directory and open it."""
    directory.mkdir(parents=True, exist_ok=True)
    spelling = Spelling(corpus.splits["train"])
    for name, documents in corpus.splits.items():
        _write(documents, tokenizer, spelling, directory, name, ends_are_targets=not corpus.contiguous)
    return load_splits(directory)


class Splits(dict[SplitName, TokenSplit]):
    """The parts that a directory holds; an export has no training part. Raises RunError for one that is missing."""

    def __init__(self, directory: Path, parts: dict[SplitName, TokenSplit]):
        super().__init__(parts)
        self.directory = directory

    def __missing__(self, name: SplitName) -> NoReturn:
        raise RunError(f"{self.directory}: the tokens of the {name} part are missing; give a complete run directory")


def load_splits(directory: Path) -> Splits:
    """Open the parts that lie below a directory. Raises RunError where a file is missing or damaged."""
    splits = Splits(directory, {name: _open(directory, name) for name in SPLITS if _has(directory, name)})
    splits["val"]  # there is nothing without it to do
    return splits


def _has(directory: Path, name: SplitName) -> bool:
    return (directory / f"{name}.json").exists()


def _write(
    documents: list[str],
    tokenizer: Tokenizer,
    spelling: Spelling,
    directory: Path,
    name: SplitName,
    ends_are_targets: bool,
) -> None:
    dtype = tokenizer.dtype
    end = np.array([tokenizer.end_id], dtype=dtype)
    unknown, spelling_nats, boundaries = 0, 0.0, [0]
    with written_whole(directory / f"{name}.tokens") as file:
        file.write(end.tobytes())
        for ids, pieces, lengths in tokenizer.encode_documents(documents):
            file.write((ids if ends_are_targets else ids[:-1]).tobytes())  # a part without ends is one document
            unknown += len(pieces)
            spelling_nats += spelling.nats(pieces)
            boundaries += (boundaries[-1] + np.cumsum(lengths)).tolist()
    if not ends_are_targets:
        boundaries[-1] -= 1
    with written_whole(directory / f"{name}.boundaries") as file:
        file.write(np.array(boundaries, dtype=np.int64).tobytes())
    checksums = [file_checksum(directory / f"{name}.{kind}") for kind in ("tokens", "boundaries")]
    characters = sum(map(len, documents))
    header = _Header(str(dtype), boundaries[-1] + 1, len(documents), characters, unknown, spelling_nats, *checksums)
    write_json(directory / f"{name}.json", asdict(header))


def _open(directory: Path, name: SplitName) -> TokenSplit:
    path = directory / f"{name}.tokens"
    try:
        header = _Header(**read_json(directory / f"{name}.json"))
        checksums = (file_checksum(path), file_checksum(directory / f"{name}.boundaries"))
        if checksums != (header.tokens_sha256, header.boundaries_sha256):
            raise RunError(f"{path}: damaged: not what was written; train the run again")
        tokens = np.memmap(path, dtype=header.dtype, mode="r")
        boundaries = np.fromfile(directory / f"{name}.boundaries", dtype=np.int64)
    except (OSError, ValueError, TypeError) as error:
        raise RunError(f"{path}: the tokens cannot be read ({error}); train the run again") from error
    return TokenSplit(tokens, boundaries, header.characters, header.unknown, header.spelling_nats)
