"""Tokens on disk: each part of the corpus is encoded once into an array that batches read through memory mapping.

    <eos> first document <eos> second document <eos> ... last document <eos>

Every token but the first is a target, and the ``<eos>`` before a document is the context of its first token. Parts that
were cut from one document have no ``<eos>`` at their end: no document ends there.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from textloom.data.corpus import SPLITS, Corpus, SplitName
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
    tokens_sha256: str
    boundaries_sha256: str


def encode_corpus(corpus: Corpus, tokenizer: Tokenizer, directory: Path) -> dict[SplitName, TokenSplit]:
    """Write every part of the corpus below a directory and open it."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, documents in corpus.splits.items():
        _write(documents, tokenizer, directory, name, ends_are_targets=not corpus.contiguous)
    return load_splits(directory)


def load_splits(directory: Path) -> dict[SplitName, TokenSplit]:
    """Open the parts that lie below a directory. Raises RunError where a file is missing or damaged."""
    splits = {name: _open(directory, name) for name in SPLITS if (directory / f"{name}.json").exists()}
    for name in ("train", "val"):
        if name not in splits:
            raise RunError(f"{directory}: the tokens of the {name} part are missing; give a complete run directory")
    return splits


def _write(
    documents: list[str], tokenizer: Tokenizer, directory: Path, name: SplitName, ends_are_targets: bool
) -> None:
    dtype = np.min_scalar_type(tokenizer.vocabulary_size - 1)
    end = np.array([tokenizer.end_id], dtype=dtype)
    unknown, position, boundaries = 0, 0, [0]
    with written_whole(directory / f"{name}.tokens") as file:
        file.write(end.tobytes())
        for document in documents:
            ids = tokenizer.encode(document)
            unknown += int((ids == tokenizer.unknown_id).sum()) if tokenizer.unknown_id is not None else 0
            file.write(ids.astype(dtype).tobytes())
            if ends_are_targets:
                file.write(end.tobytes())
            position += len(ids) + ends_are_targets
            boundaries.append(position)
    with written_whole(directory / f"{name}.boundaries") as file:
        file.write(np.array(boundaries, dtype=np.int64).tobytes())
    checksums = [file_checksum(directory / f"{name}.{kind}") for kind in ("tokens", "boundaries")]
    header = _Header(str(dtype), position + 1, len(documents), sum(map(len, documents)), unknown, *checksums)
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
    return TokenSplit(tokens, boundaries, header.characters, header.unknown)
