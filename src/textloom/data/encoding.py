"""The token store: each split of the corpus, encoded once into an array that batches read through a memory map.

    <eos> first document <eos> second document <eos> ... last document <eos>

Every token but the first is a target, and the ``<eos>`` before a document is the context of its first token. Splits
that were cut from one document have no ``<eos>`` at their end, because no document ends there.
"""

import hashlib
import mmap
from array import array
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, NoReturn

import numpy as np

from textloom.data.corpus import Corpus, Facts
from textloom.data.documents import SPLITS, SplitName
from textloom.data.protocols import window_protocol
from textloom.data.spelling import Spelling
from textloom.data.spool import DocumentSet
from textloom.errors import DataError, RunError
from textloom.system.files import file_checksum, read_json, write_json, written_whole
from textloom.system.progress import stage
from textloom.tokenizers import Tokenizer
from textloom.tokenizers.base import EncodedDocuments

WRITTEN_AT_ONCE = 1 << 16  # numbers
COUNTED_AT_ONCE = 1 << 20  # tokens


@dataclass(frozen=True)
class TokenSplit:
    """One split of the corpus as tokens."""

    tokens: np.ndarray
    """(targets + 1,) memory-mapped, in the smallest type that holds the vocabulary."""
    boundaries: np.ndarray
    """(documents + 1,) int64: document k's targets are tokens[boundaries[k] + 1 : boundaries[k + 1] + 1]."""
    characters: int
    """Characters of the raw text."""
    unknown: int
    """Number of ``<unk>`` tokens."""
    spelling_nats: float
    """Cost of spelling the texts that ``<unk>`` stands for, in nats."""
    unknown_characters: int = 0
    """Characters of those texts; 0 in files of older versions."""
    windows: np.ndarray | None = None
    """(windows,) int64, rising: the positions of the targets, if a protocol dealt out windows."""

    @property
    def targets(self) -> int:
        """Number of tokens to be predicted: all but the first, unless windows were dealt out."""
        return len(self.tokens) - 1 if self.windows is None else len(self.windows)

    @property
    def documents(self) -> int:
        """Number of documents."""
        return len(self.boundaries) - 1

    def release(self) -> None:
        """Free the pages that were read through the memory map; they are read again when needed."""
        mapped = getattr(self.tokens, "_mmap", None)
        if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)

    def frequencies(self, vocabulary_size: int) -> np.ndarray:
        """Count each token among the targets, (vocabulary,) int64."""
        counts = np.zeros(vocabulary_size, dtype=np.int64)
        for begin in range(1, len(self.tokens), COUNTED_AT_ONCE):
            counts += np.bincount(self.read(begin, begin + COUNTED_AT_ONCE), minlength=vocabulary_size)
        return counts

    def read(self, begin: int, end: int) -> np.ndarray:
        """A range of tokens, read from the file: pages read through the memory map would stay in memory."""
        if not isinstance(self.tokens, np.memmap) or self.tokens.filename is None:
            return self.tokens[begin:end]
        size = self.tokens.itemsize
        return np.fromfile(
            self.tokens.filename, self.tokens.dtype, min(end, len(self.tokens)) - begin, offset=begin * size
        )


@dataclass(frozen=True)
class _Header:
    """The content of ``NAME.json``, which describes ``NAME.tokens`` and ``NAME.boundaries``."""

    dtype: str
    tokens: int
    documents: int
    characters: int
    unknown: int
    spelling_nats: float
    tokens_sha256: str
    boundaries_sha256: str
    windows_sha256: str | None = None
    unknown_characters: int = 0


def encode_corpus(corpus: Corpus, tokenizer: Tokenizer, directory: Path) -> None:
    """Write the tokens of every split into a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    training = corpus.splits["train"]
    with stage("counting characters", training.size, "bytes"):
        spelling = Spelling(training.texts() if tokenizer.unknown_id is not None else ())
    for name, part in corpus.splits.items():
        with stage(f"encoding the {name} split", part.size, "bytes"):
            _write(part, tokenizer, spelling, directory, name, ends_are_targets=not corpus.facts.contiguous)
        if corpus.facts.article_window is not None:
            _write_windows(directory, name, corpus.facts, tokenizer)


class Splits(dict[SplitName, TokenSplit]):
    """The splits in a directory; an export has no training split. Raises RunError for a missing one."""

    def __init__(self, directory: Path, parts: dict[SplitName, TokenSplit]):
        super().__init__(parts)
        self.directory = directory

    def __missing__(self, name: SplitName) -> NoReturn:
        raise RunError(f"{self.directory}: the tokens of the {name} split are missing; give a complete run directory")


def load_splits(directory: Path) -> Splits:
    """Open the splits in a directory. Raises RunError if a file is missing or damaged."""
    splits = Splits(directory, {name: _open(directory, name) for name in SPLITS if _has(directory, name)})
    splits["val"]  # required by every use
    return splits


def _has(directory: Path, name: SplitName) -> bool:
    return (directory / f"{name}.json").exists()


def _write(
    part: DocumentSet,
    tokenizer: Tokenizer,
    spelling: Spelling,
    directory: Path,
    name: SplitName,
    ends_are_targets: bool,
) -> None:
    unknown, unknown_characters, spelling_nats = 0, 0, 0.0
    with (
        written_whole(directory / f"{name}.tokens") as tokens_file,
        written_whole(directory / f"{name}.boundaries") as boundaries_file,
    ):
        tokens, boundaries = _Output(tokens_file, tokenizer.dtype), array("q", [0])
        tokens.add(np.array([tokenizer.end_id]))
        for ids, pieces, lengths in _encoded(part, tokenizer, ends_are_targets):
            tokens.add(ids)
            unknown += len(pieces)
            unknown_characters += sum(map(len, pieces))
            spelling_nats += spelling.nats(pieces)
            boundaries.frombytes((boundaries[-1] + np.cumsum(lengths)).astype(np.int64).tobytes())
        boundaries_file.write(boundaries)
        checksums = (tokens.finish(), hashlib.sha256(boundaries).hexdigest())
    counts = (boundaries[-1] + 1, len(part), sum(map(len, part.texts())), unknown)
    header = _Header(str(tokenizer.dtype), *counts, spelling_nats, *checksums, None, unknown_characters)
    write_json(directory / f"{name}.json", asdict(header))


def _encoded(part: DocumentSet, tokenizer: Tokenizer, ends_are_targets: bool) -> Iterator[EncodedDocuments]:
    """The documents of a split, or pieces of them; the tokens of a piece belong to the next document that ends."""
    for short, documents in groupby(part.documents(), key=lambda pieces: isinstance(pieces, tuple)):
        if short and ends_are_targets:
            yield from tokenizer.encode_documents(text for (text,) in documents)
            continue
        for document in documents:
            tokens, last = 0, np.empty(0, tokenizer.dtype)
            for piece in tokenizer.encode_pieces(document):
                yield EncodedDocuments(*piece, lengths=np.empty(0, dtype=np.int64))
                tokens, last = tokens + len(piece.ids), piece.ids if len(piece.ids) else last
            end = tokenizer.end_after(last) if ends_are_targets else np.empty(0, tokenizer.dtype)
            yield EncodedDocuments(end, [], np.array([tokens + len(end)]))


def _write_windows(directory: Path, name: SplitName, facts: Facts, tokenizer: Tokenizer) -> None:
    """Write the windows of a split, and into its header the characters of their targets, each with a space."""
    assert facts.window_protocol is not None
    assert facts.article_window is not None
    part, window = _open(directory, name), facts.article_window
    windows = window_protocol(facts.window_protocol).deal_windows(part.boundaries, window)[name]
    if not len(windows):
        raise DataError(f"data: no document has more than the {window} tokens of a window; lower data.article_window")
    lengths = np.array([len(tokenizer.decode([i])) + 1 for i in range(tokenizer.vocabulary_size)])
    header = read_json(directory / f"{name}.json")
    with written_whole(directory / f"{name}.windows") as file:
        file.write(windows.tobytes())
    header["windows_sha256"] = hashlib.sha256(windows.tobytes()).hexdigest()
    header["characters"] = int(lengths[part.tokens[windows]].sum())
    write_json(directory / f"{name}.json", header)


class _Output:
    """A file of numbers: small arrays are collected and written together, and hashed."""

    def __init__(self, file: BinaryIO, dtype: np.dtype):
        self.file, self.dtype = file, dtype
        self.digest = hashlib.sha256()
        self.waiting: list[np.ndarray] = []
        self.size = 0

    def add(self, values: np.ndarray) -> None:
        self.waiting.append(values)
        self.size += len(values)
        if self.size > WRITTEN_AT_ONCE:
            self._flush()

    def finish(self) -> str:
        """Write the rest, and return the SHA-256 of all."""
        self._flush()
        return self.digest.hexdigest()

    def _flush(self) -> None:
        if self.waiting:
            content = np.concatenate(self.waiting).astype(self.dtype).tobytes()
            self.digest.update(content)
            self.file.write(content)
            self.waiting, self.size = [], 0


def _open(directory: Path, name: SplitName) -> TokenSplit:
    path = directory / f"{name}.tokens"
    try:
        header = _Header(**read_json(directory / f"{name}.json"))
        checksums = (file_checksum(path), file_checksum(directory / f"{name}.boundaries"))
        if checksums != (header.tokens_sha256, header.boundaries_sha256):
            raise RunError(f"{path}: damaged: not what was written; train the run again")
        tokens = np.memmap(path, dtype=header.dtype, mode="r")
        boundaries = np.fromfile(directory / f"{name}.boundaries", dtype=np.int64)
        windows = None
        if header.windows_sha256 is not None:
            windows = np.fromfile(directory / f"{name}.windows", dtype=np.int64)
            if hashlib.sha256(windows.tobytes()).hexdigest() != header.windows_sha256:
                raise RunError(f"{path}: the windows are damaged: not what was written; train the run again")
    except (OSError, ValueError, TypeError) as error:
        raise RunError(f"{path}: the tokens cannot be read ({error}); train the run again") from error
    counts = (header.characters, header.unknown, header.spelling_nats, header.unknown_characters)
    return TokenSplit(tokens, boundaries, *counts, windows)
