"""The corpus: documents with duplicates folded, split into training, validation and test parts."""

import hashlib
import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from textloom.config import DataConfig
from textloom.data.sources import read_documents
from textloom.errors import DataError

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class Corpus:
    """The documents of each part. ``contiguous``: the parts are cut from one document and lie end to end."""

    splits: dict[SplitName, list[str]]
    contiguous: bool
    duplicates_folded: int

    def fingerprint(self) -> str:
        """A hash of every document in its part: runs with equal fingerprints were scored on the same text."""
        digest = hashlib.sha256()
        for name, documents in self.splits.items():
            digest.update(f"{name} {len(documents)}\n".encode())
            for document in documents:
                text = document.encode("utf-8", "surrogatepass")
                digest.update(f"{len(text)}\n".encode() + text)
        return digest.hexdigest()


def load_corpus(config: DataConfig) -> Corpus:
    """Read, fold and split. Raises DataError where the source cannot be read or a part is left empty."""
    documents, folded = list(read_documents(config)), 0
    if config.fold_duplicates:
        documents, folded = fold_duplicates(documents)
    return split(documents, config.validation_fraction, config.test_fraction, config.split_seed, folded)


def fold_duplicates(documents: Iterable[str]) -> tuple[list[str], int]:
    """The first of the documents that differ only in case, punctuation or white space, and how many were dropped."""
    seen: set[bytes] = set()
    kept, dropped = [], 0
    for document in documents:
        letters = re.sub(r"[\W_]+", "", document.casefold()) or document
        key = hashlib.blake2b(letters.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if key in seen:
            dropped += 1
        else:
            seen.add(key)
            kept.append(document)
    return kept, dropped


def split(
    documents: list[str], validation_fraction: float, test_fraction: float, seed: int, duplicates_folded: int = 0
) -> Corpus:
    """By document; a single document is cut, its end is validation and test. No text is in two parts."""
    contiguous = len(documents) == 1
    if contiguous:
        parts = _cut(documents[0], validation_fraction, test_fraction)
    else:
        order = list(range(len(documents)))
        random.Random(seed).shuffle(order)
        validation, test = (_share(fraction, len(order)) for fraction in (validation_fraction, test_fraction))
        borders = {"val": (0, validation), "test": (validation, validation + test), "train": (validation + test, None)}
        parts = {name: [documents[i] for i in sorted(order[slice(*borders[name])])] for name in SPLITS}
    if not test_fraction:
        del parts["test"]
    for name, part in parts.items():
        if not any(part):
            raise DataError(
                f"data: no document is left for the {name} part, with {len(documents)} in all; give more text, "
                "raise its fraction, set data.test_fraction=0, or make documents smaller (data.documents=blank_line)"
            )
    return Corpus(parts, contiguous, duplicates_folded)


def _share(fraction: float, count: int) -> int:
    """A part of so many documents: at least one, where one is asked for."""
    return max(1, round(fraction * count)) if fraction else 0


def _cut(text: str, validation_fraction: float, test_fraction: float) -> dict[SplitName, list[str]]:
    test = len(text) - round(len(text) * test_fraction)
    validation = test - round(len(text) * validation_fraction)
    return {"train": [text[:validation]], "val": [text[validation:test]], "test": [text[test:]]}
