"""Fitting n-gram models: counting the training split, and choosing the order on the validation split."""

import numpy as np

from textloom.data.documents import SplitName
from textloom.data.encoding import TokenSplit
from textloom.ngram.model import NgramModel, fit_orders
from textloom.system.progress import stage

PATIENCE = 2  # orders without a lower validation loss after which longer n-grams are not tried


def fit_order(tokens: np.ndarray, vocabulary_size: int, end_id: int, order: int) -> NgramModel:
    """Count n-grams of this order, or the longest that the text has."""
    *_, model = fit_orders(tokens, vocabulary_size, end_id, order)
    return model


def best_order(
    splits: dict[SplitName, TokenSplit], vocabulary_size: int, end_id: int, largest_order: int
) -> NgramModel:
    """Count n-grams of the training split, with the order that has the lowest validation loss."""
    best, lowest = None, float("inf")
    with stage("counting n-grams", largest_order, "orders") as counting:
        for model in fit_orders(splits["train"].tokens, vocabulary_size, end_id, largest_order):
            loss = model.score(splits["val"].tokens)[0] / splits["val"].targets
            counting.advance()
            if best is None or loss < lowest:
                best, lowest = model, loss
            elif model.order - best.order == PATIENCE:
                break
    assert best is not None
    return best
