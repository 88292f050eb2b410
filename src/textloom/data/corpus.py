"""The corpus: documents with duplicates folded, split into training, validation and test parts."""

import hashlib
import random
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from textloom.config import SplitKeys
from textloom.data.duplicates import Keys
from textloom.data.near_duplicates import near_duplicate_groups
from textloom.data.spool import Part, Piece, Spool
from textloom.errors import DataError

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class Facts:
    """What is known of a corpus without its text."""

    fingerprint: str
    """A hash of every document in its part: runs with equal fingerprints were scored on the same text."""
    contiguous: bool
    """Whether the parts are cut from one document and lie end to end."""
    documents: int
    """How many are left."""
    duplicates_folded: int
    """How many were dropped because they repeat another."""
    near_duplicates: int = 0
    """How many of the rest nearly repeat an earlier one, and are on the same side of the split."""


class Corpus:
    """The documents of each part; those of a known text are read when they are asked for."""

    def __init__(self, facts: Facts, read: Callable[[], dict[SplitName, Part]]):
        self.facts = facts
        self._read = read

    @cached_property
    def splits(self) -> dict[SplitName, Part]:
        """The parts."""
        return self._read()


def build_corpus(pieces: Iterable[Piece], keys: SplitKeys, directory: Path | None = None) -> Corpus:
    """Write documents to a temporary file, fold and split. Raises DataError where a part is left empty."""
    spool, duplicates = Spool(directory), Keys()
    written = spool.fill(pieces)
    if keys.fold_duplicates:
        duplicates.add(written)
    else:
        for _ in written:
            pass
    documents = spool.whole()
    if keys.fold_duplicates:
        documents = documents.take(duplicates.firsts())
    return split(documents, keys, duplicates_folded=len(spool.whole()) - len(documents))


def split(documents: Part, keys: SplitKeys, duplicates_folded: int = 0) -> Corpus:
    """By document; a single document is cut, its end is validation and test. No text is in two parts."""
    contiguous, groups = len(documents) == 1, None
    if keys.near_duplicates is not None and len(documents) > 1:
        groups = near_duplicate_groups(documents, keys.near_duplicates)
    parts = _cut(documents, keys) if contiguous else _deal(documents, keys, groups)
    if not keys.test_fraction:
        del parts["test"]
    for name, part in parts.items():
        if not (part.ends > part.begins).any():
            raise DataError(
                f"data: no document is left for the {name} part, with {len(documents)} in all; give more text, "
                "raise its fraction, set data.test_fraction=0, or make documents smaller (data.documents=blank_line)"
            )
    near_duplicates = 0 if groups is None else len(documents) - len(np.unique(groups))
    facts = Facts(_fingerprint(parts), contiguous, len(documents), duplicates_folded, near_duplicates)
    return Corpus(facts, lambda: parts)


def _fingerprint(parts: dict[SplitName, Part]) -> str:
    digest = hashlib.sha256()
    for name, part in parts.items():
        digest.update(f"{name} {len(part)}\n".encode())
        lengths, inside = iter((part.ends - part.begins).tolist()), False
        for content, ends in part.blocks():
            digest.update(content if inside else f"{next(lengths)}\n".encode() + content)
            inside = not ends
    return digest.hexdigest()


def _deal(documents: Part, keys: SplitKeys, groups: np.ndarray | None) -> dict[SplitName, Part]:
    """Documents in random order, the first of them for validation, the next for test; groups stay together."""
    order = array("i", range(len(documents)))
    random.Random(keys.split_seed).shuffle(order)
    shuffled = np.frombuffer(order, dtype=np.int32)
    validation, test = (_share(fraction, len(order)) for fraction in (keys.validation_fraction, keys.test_fraction))
    if groups is not None:
        shuffled = _together(shuffled, groups)
        ends = np.append(np.flatnonzero(np.diff(groups[shuffled])) + 1, len(shuffled))  # of groups
        validation = int(ends[np.searchsorted(ends, validation)])
        test = int(ends[np.searchsorted(ends, min(validation + test, len(shuffled)))]) - validation if test else 0
    borders = {"val": (0, validation), "test": (validation, validation + test), "train": (validation + test, None)}
    return {name: documents.take(np.sort(shuffled[slice(*borders[name])])) for name in SPLITS}


def _together(order: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The same order, but each group as a whole where its first document stood."""
    places = np.full(groups.max() + 1, len(order))
    np.minimum.at(places, groups[order], np.arange(len(order)))
    together: np.ndarray = order[np.argsort(places[groups[order]], kind="stable")]
    return together


def _share(fraction: float, count: int) -> int:
    """A part of so many documents: at least one, where one is asked for."""
    return max(1, round(fraction * count)) if fraction else 0


def _cut(document: Part, keys: SplitKeys) -> dict[SplitName, Part]:
    characters = character_count(document)
    test = characters - round(characters * keys.test_fraction)
    validation = test - round(characters * keys.validation_fraction)
    return cut_at(document, {"train": [(0, validation)], "val": [(validation, test)], "test": [(test, characters)]})


def cut_at(document: Part, ranges: dict[SplitName, list[tuple[int, int]]]) -> dict[SplitName, Part]:
    """A single document in parts, each of some ranges of its characters."""
    places = sorted({place for spans in ranges.values() for span in spans for place in span})
    byte = dict(zip(places, _byte_places(document, places), strict=True))
    return {
        name: Part(document.spool, *np.array([[byte[a], byte[b]] for a, b in spans], dtype=np.int64).reshape(-1, 2).T)
        for name, spans in ranges.items()
    }


def character_count(documents: Part) -> int:
    """Characters in all."""
    return sum(int(_first_bytes(content).sum()) for content, _ in documents.blocks())


def _byte_places(document: Part, places: list[int]) -> list[int]:
    """Where in the spool the characters of the given numbers (rising) begin; the number after the last is the end."""
    found: list[int] = []
    characters, position = 0, int(document.begins[0])
    for content, _ in document.blocks():
        here = np.flatnonzero(_first_bytes(content))
        while len(found) < len(places) and places[len(found)] < characters + len(here):
            found.append(position + int(here[places[len(found)] - characters]))
        characters, position = characters + len(here), position + len(content)
    return found + [position] * (len(places) - len(found))


def _first_bytes(content: bytes) -> np.ndarray:
    """(bytes,) bool: whether each is the first of a character; the others look like 10xxxxxx in UTF-8."""
    first: np.ndarray = (np.frombuffer(content, dtype=np.uint8) & 0xC0) != 0x80
    return first
