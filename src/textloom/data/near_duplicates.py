"""Near-duplicates: MinHash of word 5-grams (Broder 1997, "On the resemblance and containment of
documents"), found by locality-sensitive hashing in bands.

The signatures are those of ``datasketch``; its index would hold kilobytes of Python objects for each document, so here
signatures and bands lie in temporary files, and one band at a time is sorted in memory.

``datasketch`` and scipy are imported inside functions: they are slow to import, and most runs do not need them.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import BinaryIO

import numpy as np
import regex

from textloom.data.normalization import in_form
from textloom.data.spool import DocumentSet
from textloom.tokenizers.base import cut_at_space

PERMUTATIONS = 128
WORDS = 5
PAIRS_AT_ONCE = 10_000
WORD = regex.compile(r"[\p{L}\p{N}\p{M}_]+")


def near_duplicate_groups(documents: DocumentSet, threshold: float) -> np.ndarray:
    """(documents,) int32: the group of each document; a chain of near-duplicates is one group.

    Two documents are near-duplicates where their estimated Jaccard similarity is the threshold or more.
    """
    from datasketch import MinHashLSH
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    # chooses the number of bands and rows; candidates are compared later, so too many do no harm
    index = MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS, weights=(0.1, 0.9))
    with ExitStack() as stack:
        file, *bands = (
            stack.enter_context(tempfile.TemporaryFile(dir=documents.spool.directory)) for _ in range(index.b + 1)
        )
        for signature in _signatures(documents):
            file.write(signature.tobytes())
            rows = signature[: index.b * index.r].reshape(index.b, index.r).astype(np.uint64)
            for band, key in zip(bands, _hash_rows(rows), strict=True):
                band.write(key.tobytes())
        file.flush()
        signatures = np.memmap(file, dtype=np.uint32, mode="r", shape=(len(documents), PERMUTATIONS))
        pairs = [_alike(_content(band), signatures, threshold) for band in bands]
    left, right = np.concatenate(pairs).T
    graph = coo_matrix((np.ones(len(left), dtype=bool), (left, right)), shape=(len(documents),) * 2)
    groups: np.ndarray = connected_components(graph, directed=False)[1]
    return groups


def _content(file: BinaryIO) -> np.ndarray:
    file.seek(0)
    return np.fromfile(file, dtype=np.uint64)


def _signatures(documents: DocumentSet) -> Iterator[np.ndarray]:
    """(permutations,) uint32 for each document."""
    from datasketch import MinHash

    empty = MinHash(num_perm=PERMUTATIONS)
    minhash = empty.copy()
    before: list[str] = []
    cut = ""  # a word that the next piece may continue
    for text, ends in documents.pieces():
        text, cut = (cut + text, "") if ends else cut_at_space(cut + text)
        words = before + WORD.findall(in_form("NFD", text).casefold())
        last = len(words) - WORDS + 1
        if ends and minhash.is_empty():
            last = max(1, last)  # a shorter document is one n-gram
        minhash.update_batch(" ".join(words[i : i + WORDS]).encode("utf-8", "surrogatepass") for i in range(last))
        before = words[max(0, last) :]
        if ends:
            yield minhash.hashvalues.astype(np.uint32)
            minhash, before = empty.copy(), []


def _hash_rows(rows: np.ndarray) -> np.ndarray:
    """One number for each row: (rows, columns) uint64 -> (rows,) uint64."""
    hashes = np.zeros(len(rows), dtype=np.uint64)
    for column in rows.T:
        hashes = (hashes ^ column) * np.uint64(0x9E3779B97F4A7C15)
        hashes ^= hashes >> np.uint64(32)
    return hashes


def _alike(keys: np.ndarray, signatures: np.ndarray, threshold: float) -> np.ndarray:
    """(pairs, 2): of documents with equal keys, each similar pair of one with the first and with the one before it."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    begins = np.append(True, ordered[1:] != ordered[:-1])
    first = np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))
    later = np.flatnonzero(~begins)
    pairs = np.unique(
        np.concatenate(
            [np.stack([order[first[later]], order[later]], 1), np.stack([order[later - 1], order[later]], 1)]
        ),
        axis=0,
    )
    found = [pairs[:0]]
    for begin in range(0, len(pairs), PAIRS_AT_ONCE):
        some = pairs[begin : begin + PAIRS_AT_ONCE]
        similarity = (signatures[some[:, 0]] == signatures[some[:, 1]]).mean(axis=1)
        found.append(some[similarity >= threshold])
    return np.concatenate(found)
