"""The counting baseline."""

from typing import Annotated, ClassVar, Literal

from textloom.config.section import Positive, Section, Unit
from textloom.registry import kind_typed_as


class NgramConfig(Section):
    """An n-gram model with modified Kneser-Ney smoothing: what a network has to beat."""

    model_config = kind_typed_as("cell")
    is_ngram: ClassVar[Literal[True]] = True
    kind: Literal["ngram"]
    largest_order: Annotated[Positive, Unit("tokens")]
    """Longest n-grams that are tried, in tokens; the order is the one that does best on the validation part."""
    order: Annotated[Positive | None, Unit("tokens")] = None
    """Length of the n-grams, in tokens, whatever largest_order; null to choose it."""
