"""Cutting one document into splits at given characters."""

import numpy as np
import regex

from textloom.config.source_keys import SplitKeys
from textloom.data.documents import SplitName
from textloom.data.protocols import Ranges
from textloom.data.spool import DocumentSet

CLUSTER = 1 << 9  # bytes looked at on either side of a cut


def cut_by_shares(document: DocumentSet, keys: SplitKeys) -> dict[SplitName, DocumentSet]:
    """A single document in splits: its beginning trains, its end validates and is tested on."""
    characters = character_count(document)
    test = characters - round(characters * keys.test_fraction)
    validation = test - round(characters * keys.validation_fraction)
    ranges: Ranges = {"train": [(0, validation)], "val": [(validation, test)]}
    if keys.test_fraction:
        ranges["test"] = [(test, characters)]
    return cut_at(document, ranges, whole_clusters=True)


def cut_at(document: DocumentSet, ranges: Ranges, whole_clusters: bool = False) -> dict[SplitName, DocumentSet]:
    """A single document in splits, each made of some ranges of its characters.

    ``whole_clusters``: ranges begin with the next grapheme cluster, so that no letter is cut from its marks.
    """
    places = sorted({place for spans in ranges.values() for span in spans for place in span})
    found = _byte_places(document, places)
    if whole_clusters:
        for i in range(1, len(found) - 1):
            begin = _next_cluster(document, found[i])
            found[i] = begin if begin < found[i + 1] else found[i]
    byte = dict(zip(places, found, strict=True))
    return {
        name: DocumentSet(
            document.spool, *np.array([[byte[a], byte[b]] for a, b in spans], dtype=np.int64).reshape(-1, 2).T
        )
        for name, spans in ranges.items()
    }


def character_count(documents: DocumentSet) -> int:
    """Number of characters."""
    return sum(int(_first_bytes(content).sum()) for content, _ in documents.blocks())


def _byte_places(document: DocumentSet, places: list[int]) -> list[int]:
    """Positions in the spool of the characters with these ascending indices; the end for an index past the last."""
    found: list[int] = []
    characters, position = 0, int(document.begins[0])
    for content, _ in document.blocks():
        here = np.flatnonzero(_first_bytes(content))
        while len(found) < len(places) and places[len(found)] < characters + len(here):
            found.append(position + int(here[places[len(found)] - characters]))
        characters, position = characters + len(here), position + len(content)
    return found + [position] * (len(places) - len(found))


def _next_cluster(document: DocumentSet, place: int) -> int:
    """The position of the first grapheme cluster at or after a position in the spool."""
    begin, end = max(int(document.begins[0]), place - CLUSTER), min(int(document.ends[0]), place + CLUSTER)
    before = document.spool.read(begin, place)
    position = begin + len(before) - len(_decoded(before).encode())
    for cluster in regex.findall(r"\X", _decoded(document.spool.read(begin, end))):
        if position >= place:
            break
        position += len(cluster.encode())
    return position


def _decoded(content: bytes) -> str:
    return content.decode("utf-8", "ignore")  # without characters that are cut at the borders


def _first_bytes(content: bytes) -> np.ndarray:
    """(bytes,) bool: True for the first byte of each character; the others are 10xxxxxx in UTF-8."""
    first: np.ndarray = (np.frombuffer(content, dtype=np.uint8) & 0xC0) != 0x80
    return first
