"""The counting baseline."""

from typing import ClassVar, Literal

from textloom.config.section import Positive, Section


class NgramConfig(Section):
    """An n-gram model with modified Kneser-Ney smoothing: what a network has to beat."""

    is_ngram: ClassVar[Literal[True]] = True
    cell: Literal["ngram"]
    largest_order: Positive
    """Longest n-grams that are tried, in tokens; the order is the one that does best on the validation part."""
    order: Positive | None = None
    """Length of the n-grams, in tokens, whatever largest_order; null to choose it."""
