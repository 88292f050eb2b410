"""Counting models: how they are chosen, and scored on the same targets, by the same rule, as any other model."""

import numpy as np

from textloom.data.encoding import TokenSplit
from textloom.data.spool import SplitName
from textloom.models.score import Score
from textloom.ngram.model import NgramModel, fit_orders
from textloom.system.progress import stage

PATIENCE = 2  # orders without a better loss on validation before longer n-grams are no longer tried


def fit_order(tokens: np.ndarray, vocabulary_size: int, end_id: int, order: int) -> NgramModel:
    """The n-gram model of this order, or of the longest n-grams that the text has."""
    *_, model = fit_orders(tokens, vocabulary_size, end_id, order)
    return model


def best_order(
    splits: dict[SplitName, TokenSplit], vocabulary_size: int, end_id: int, largest_order: int
) -> NgramModel:
    """The n-gram model of the training part whose order does best on the validation part."""
    best, lowest = None, float("inf")
    with stage("counting n-grams", largest_order, "orders") as counting:
        for model in fit_orders(splits["train"].tokens, vocabulary_size, end_id, largest_order):
            loss = score_ngrams(model, splits["val"]).loss
            counting.advance()
            if best is None or loss < lowest:
                best, lowest = model, loss
            elif model.order - best.order == PATIENCE:
                break
    assert best is not None
    return best


def score_ngrams(model: NgramModel, split: TokenSplit) -> Score:
    """Every token of a part, once."""
    probability, likeliest = model.predict(split.tokens)
    correct = int((likeliest == split.tokens[1:]).sum())
    return Score.of(split, -float(np.log(probability).sum()), correct, len(probability))


def score_uniform(vocabulary_size: int, split: TokenSplit) -> Score:
    """What guessing blindly costs: every token of the vocabulary is as likely as any other."""
    nats = split.targets * float(np.log(vocabulary_size))
    return Score.of(split, nats, int((split.tokens[1:] == 0).sum()), split.targets)
