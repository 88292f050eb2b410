"""The corpus: documents with duplicates folded, split into training, validation and test."""

import hashlib
import random
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from textloom.config import SplitKeys
from textloom.data.cutting import character_count, cut_at, cut_by_shares
from textloom.data.documents import SPLITS, Piece, SplitName
from textloom.data.duplicates import DuplicateKeys
from textloom.data.near_duplicates import near_duplicate_groups
from textloom.data.protocols import CUTS
from textloom.data.reading.rows import SplitColumn
from textloom.data.sources import SourceDocuments
from textloom.data.spool import DocumentSet, Spool
from textloom.errors import DataError
from textloom.system.progress import stage

READING = 2  # raised whenever the same files give another corpus or another tokenizer


@dataclass(frozen=True)
class Facts:
    """Facts about a corpus, known without its text."""

    fingerprint: str
    """A hash of all documents of all splits: runs with equal fingerprints were scored on the same text."""
    contiguous: bool
    """True if the splits are cut from one document, end to end."""
    documents: int
    """Number of documents after folding."""
    duplicates_folded: int
    """Number of documents dropped because they repeat another."""
    near_duplicates: int = 0
    """Number of the remaining documents that nearly repeat an earlier one, and are in the same split."""
    article_window: int | None = None
    """Tokens of context in the windows of the article's protocol; None for splits by document."""

    @property
    def window_protocol(self) -> str | None:
        """The protocol that deals out windows; None for splits by document."""
        return None if self.article_window is None else "article"


class Corpus:
    """The documents of each split; those of a text in the cache are read when they are first asked for."""

    def __init__(self, facts: Facts, read: Callable[[], dict[SplitName, DocumentSet]]):
        self.facts = facts
        self._read = read

    @cached_property
    def splits(self) -> dict[SplitName, DocumentSet]:
        """The documents of each split."""
        return self._read()


def build_corpus(source: SourceDocuments, keys: SplitKeys, directory: Path | None = None) -> Corpus:
    """Write documents to a temporary file, fold and split them. Raises DataError if a split is left empty."""
    spool, duplicates = Spool(directory), DuplicateKeys()
    if len(source.splits) > 1:
        return _as_given(spool, source, keys)
    (pieces,) = source.splits.values()
    written = spool.fill(pieces)
    folding = keys.fold_duplicates and not keys.leaky
    if folding:
        duplicates.add(written)
    else:
        _exhaust(written)
    documents = spool.whole()
    if keys.dealt_window is not None:
        return _all_in_both(documents, keys.dealt_window)
    firsts = duplicates.firsts() if folding else np.ones(len(documents), dtype=bool)
    documents, folded = documents.take(firsts), int((~firsts).sum())
    if keys.split_protocol is not None:
        return _corpus(_by_protocol(documents, keys.split_protocol), contiguous=True)
    if source.split_column is not None:
        return _corpus(_by_column(documents, source.split_column, firsts, keys), duplicates_folded=folded)
    return split(documents, keys, folded)


def split(documents: DocumentSet, keys: SplitKeys, duplicates_folded: int = 0) -> Corpus:
    """Split by document; a single document is cut, and its end is for validation and test. No text is in two splits."""
    if len(documents) == 1:
        return _corpus(cut_by_shares(documents, keys), True, duplicates_folded)
    groups, near_duplicates = None, 0
    if keys.near_duplicates is not None and len(documents):
        with stage("looking for near-duplicates", documents.size, "bytes"):
            groups = near_duplicate_groups(documents, keys.near_duplicates)
        near_duplicates = len(documents) - len(np.unique(groups))
    return _corpus(_deal(documents, keys, groups), False, duplicates_folded, near_duplicates)


def _corpus(
    splits: dict[SplitName, DocumentSet], contiguous: bool = False, duplicates_folded: int = 0, near_duplicates: int = 0
) -> Corpus:
    documents = 1 if contiguous else sum(map(len, splits.values()))
    larger = {"val": "raise data.validation_fraction, ", "test": "raise data.test_fraction, "}
    for name, part in splits.items():
        if not (part.ends > part.begins).any():
            raise DataError(
                f"data: no document is left for the {name} split, with {documents} in all; give more text, "
                f"{larger.get(name, '')}set data.test_fraction=0, or make the documents of text files smaller "
                "(data.documents=blank_line or line)"
            )
    return Corpus(
        Facts(_fingerprint(splits), contiguous, documents, duplicates_folded, near_duplicates), lambda: splits
    )


def _as_given(spool: Spool, source: SourceDocuments, keys: SplitKeys) -> Corpus:
    """The splits of the source as they are; if there is no validation split, a share of ``train`` is taken."""
    borders = [0]
    for pieces in source.splits.values():
        _exhaust(spool.fill(pieces))
        borders.append(len(spool.whole()))
    whole = spool.whole()
    splits: dict[SplitName, DocumentSet] = {
        name: whole.take(np.arange(first, last))
        for name, first, last in zip(source.splits, borders[:-1], borders[1:], strict=True)
    }
    contiguous = all(len(part) == 1 for part in splits.values())
    if "val" not in splits:
        shares = split(splits["train"], keys.model_copy(update={"test_fraction": 0.0}))
        splits = {**shares.splits, "test": splits["test"]}
    return _corpus(splits, contiguous)


def _exhaust(pieces: Iterable[Piece]) -> None:
    for _ in pieces:
        pass


def _by_protocol(documents: DocumentSet, protocol: str) -> dict[SplitName, DocumentSet]:
    if len(documents) != 1:
        raise DataError(f"data.protocol={protocol} cuts one file, and there are {len(documents)}; give data.path=FILE")
    return cut_at(documents, CUTS[protocol](character_count(documents)))


def _by_column(
    documents: DocumentSet, column: SplitColumn, kept: np.ndarray, keys: SplitKeys
) -> dict[SplitName, DocumentSet]:
    """Split by the names in a column, or by its order: first training, then validation, then test."""
    places = np.frombuffer(column.places)[kept]
    if not column.labels:
        ordered = np.sort(places)
        counts = (_share(fraction, len(ordered)) for fraction in (keys.test_fraction, keys.validation_fraction))
        test, validation = (len(ordered) - int(count) for count in np.cumsum(list(counts)))
        first, last = ordered[max(0, validation)], ordered[test] if keys.test_fraction else np.inf
        places = (places >= first).astype(int) + (places >= last)  # equal values are in one split
    splits = {name: documents.take(np.flatnonzero(places == number)) for number, name in enumerate(SPLITS)}
    return splits if keys.test_fraction else {name: splits[name] for name in SPLITS[:2]}


def _all_in_both(documents: DocumentSet, window: int) -> Corpus:
    splits: dict[SplitName, DocumentSet] = {"train": documents, "val": documents}
    fingerprint = hashlib.sha256(f"article {window} {_fingerprint(splits)}".encode()).hexdigest()
    return Corpus(Facts(fingerprint, False, len(documents), 0, article_window=window), lambda: splits)


def _fingerprint(splits: dict[SplitName, DocumentSet]) -> str:
    digest = hashlib.sha256()
    for name, part in splits.items():
        digest.update(f"{name} {len(part)}\n".encode())
        lengths, inside = iter((part.ends - part.begins).tolist()), False
        with stage(f"hashing the {name} split", part.size, "bytes"):
            for content, ends in part.blocks():
                digest.update(content if inside else f"{next(lengths)}\n".encode() + content)
                inside = not ends
    return digest.hexdigest()


def _deal(documents: DocumentSet, keys: SplitKeys, groups: np.ndarray | None) -> dict[SplitName, DocumentSet]:
    """Documents in random order, first for validation, then for test, the rest for training. Groups stay together."""
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
    names = SPLITS if keys.test_fraction else SPLITS[:2]
    return {name: documents.take(np.sort(shuffled[slice(*borders[name])])) for name in names}


def _together(order: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The same order, but with all documents of a group at the position of its first one."""
    places = np.full(groups.max() + 1, len(order))
    np.minimum.at(places, groups[order], np.arange(len(order)))
    together: np.ndarray = order[np.argsort(places[groups[order]], kind="stable")]
    return together


def _share(fraction: float, count: int) -> int:
    """The number of documents in a share: at least one, unless the share is zero."""
    return max(1, round(fraction * count)) if fraction else 0
