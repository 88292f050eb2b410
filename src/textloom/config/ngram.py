"""The config of n-gram models, the baseline of all networks."""

from typing import Annotated, ClassVar, Literal

from textloom.config.section import Positive, Section, Unit
from textloom.registry import kind_alias


class NgramConfig(Section):
    """An n-gram model with modified Kneser-Ney smoothing, the baseline of all networks."""

    model_config = kind_alias("cell")
    is_ngram: ClassVar[Literal[True]] = True
    kind: Literal["ngram"]
    largest_order: Annotated[Positive, Unit("tokens")]
    """Longest n-grams that are tried; the order with the lowest validation loss is kept."""
    order: Annotated[Positive | None, Unit("tokens")] = None
    """Length of the n-grams, instead of largest_order; null chooses it."""
