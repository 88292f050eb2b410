"""The likelihood of any text under a trained model."""

from dataclasses import dataclass
from math import log

import numpy as np

from textloom.config import TrainConfig
from textloom.data.encoding import TokenSplit
from textloom.data.normalization import normalize_text
from textloom.errors import DataError
from textloom.evaluation.evaluate import score
from textloom.evaluation.score import perplexity
from textloom.models.language_model import LanguageModel
from textloom.tokenizers import Tokenizer


@dataclass(frozen=True)
class TextScore:
    """The likelihood of a text under a model."""

    loss: float
    """Nats per token."""
    tokens: int
    """Tokens predicted."""
    characters: int
    """Characters of the text, after normalization."""
    unknown: int
    """Tokens that the vocabulary does not have, predicted as ``<unk>``."""
    accuracy: float
    """Share of the tokens that were the likeliest."""

    @property
    def nats(self) -> float:
        """Negative log-likelihood of all tokens."""
        return self.loss * self.tokens

    @property
    def perplexity(self) -> float:
        """exp(loss)."""
        return perplexity(self.loss)

    @property
    def bits_per_char(self) -> float | None:
        """Nats / ln 2 / characters; None if some tokens are unknown, because the nats do not cover their spelling."""
        return None if self.unknown else self.nats / log(2) / self.characters


def score_text(
    model: LanguageModel, tokenizer: Tokenizer, config: TrainConfig, text: str, ends: bool = False
) -> TextScore:
    """Score every token of a document from its beginning, as evaluation does; with ``ends`` its end too.

    Raises DataError for an empty text.
    """
    text = normalize_text(text, config.data.normalization)
    parts = list(tokenizer.encode_pieces([text]))
    ids = np.concatenate([np.empty(0, tokenizer.dtype), *(part.ids for part in parts)])
    if ends:
        ids = np.concatenate([ids, tokenizer.end_after(ids)])
    if not len(ids):
        raise DataError("score: the text is empty; give at least one character")
    unknown = sum(len(part.unknown) for part in parts)
    tokens = np.concatenate([np.array([tokenizer.end_id], tokenizer.dtype), ids])
    document = TokenSplit(tokens, np.array([0, len(ids)]), max(1, len(text)), unknown, spelling_nats=0.0)
    rows = 1 if config.model.is_ngram else config.trainer.rows
    found = score(model, document, config.batching, rows)
    return TextScore(found.loss, found.targets, len(text), unknown, found.accuracy)
