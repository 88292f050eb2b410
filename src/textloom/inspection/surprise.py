"""Loss by position: means of the surprise of single tokens, in nats."""

from dataclasses import dataclass

import numpy as np

POINTS_PER_DECADE = 6


@dataclass(frozen=True)
class Means:
    """Means over ranges of positions."""

    first: np.ndarray
    """(ranges,) the first position of each."""
    last: np.ndarray
    """(ranges,) the last position of each."""
    mean: np.ndarray
    """(ranges,) nats per token."""
    count: np.ndarray
    """(ranges,) tokens in each."""


def loss_along_text(nats: np.ndarray, ranges: int = 100) -> Means:
    """The mean of the surprise, (tokens,), over equal ranges of the text; their weighted mean is the loss."""
    edges = np.unique(np.linspace(0, len(nats), min(ranges, len(nats)) + 1).astype(int))
    return _means(nats, np.arange(1, len(nats) + 1), edges + 1)


def loss_by_document_position(nats: np.ndarray, positions: np.ndarray) -> Means:
    """The mean of the surprise, (tokens,), over positions in the document, from 1, in ranges of growing length.

    It falls as long as more of the text helps to predict the next token.
    """
    decades = np.log10(positions.max(initial=1)) + 1
    edges = np.unique(np.round(np.logspace(0, decades, int(decades * POINTS_PER_DECADE) + 1)).astype(int))
    return _means(nats, positions, edges)


def _means(nats: np.ndarray, positions: np.ndarray, edges: np.ndarray) -> Means:
    """``edges`` (ranges + 1,): the first position of each range, and one after the last."""
    places = np.searchsorted(edges, positions, side="right") - 1
    counts = np.bincount(places, minlength=len(edges) - 1)
    sums = np.bincount(places, weights=nats, minlength=len(edges) - 1)
    some = np.flatnonzero(counts)
    return Means(edges[some], np.minimum(edges[some + 1] - 1, positions.max()), sums[some] / counts[some], counts[some])
