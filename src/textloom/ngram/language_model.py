"""Counted n-grams behind the interface of all language models."""

from typing import Self

import numpy as np
import torch

from textloom.models.decoder import ModelDecoder
from textloom.models.language_model import LanguageModel
from textloom.models.state import State
from textloom.ngram.model import Level, NgramModel


class NgramLanguageModel(LanguageModel):
    """An n-gram model as a torch module.

    The hidden state after a token is its last ``order - 1`` tokens, with ``<eos>`` for what lies before the text:
    contexts begin there anyway.
    """

    def __init__(self, ngrams: NgramModel):
        super().__init__()
        self.ngrams = ngrams
        self.vocabulary_size = ngrams.vocabulary_size

    @property
    def device(self) -> torch.device:
        """The CPU: n-grams are counted and looked up there."""
        return torch.device("cpu")

    def forward(self, inputs: torch.Tensor, state: State | None = None) -> tuple[torch.Tensor, State]:
        """The context at each step, (batch, time, order - 1), and the context after the last step."""
        back = self.ngrams.order - 1
        before = self.initial_state(len(inputs))[0] if state is None else state[0]
        read = torch.cat([before[0], inputs], dim=1)  # (batch, order - 1 + time)
        hidden = read.unfold(1, back, 1)[:, 1:] if back else read.new_zeros((*inputs.shape, 0))
        return hidden, (read[None, :, read.shape[1] - back :],)

    def initial_state(self, batch_size: int) -> State:
        """The context at the beginning of a document: end tokens."""
        return (torch.full((1, batch_size, self.ngrams.order - 1), self.ngrams.end_id),)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Log-probabilities of every token: (..., order - 1) -> (..., vocabulary_size)."""
        contexts = hidden.reshape(hidden.shape[:-1].numel(), hidden.shape[-1]).numpy()  # order 1 has empty contexts
        rows = np.log(np.stack([self.ngrams.distribution(context) for context in contexts]))
        return torch.from_numpy(rows).reshape(*hidden.shape[:-1], self.vocabulary_size)

    def score_text(self, tokens: np.ndarray) -> tuple[float, int]:
        """Summed negative log-likelihood of all tokens but the first, and how many of them were the likeliest."""
        return self.ngrams.score(tokens)

    def decoder(
        self, texts: int, window: int | None = None, never: int | None = None, state: State | None = None
    ) -> ModelDecoder:
        """Decode this many texts side by side. The context is ``order - 1`` tokens, whatever the window."""
        return ModelDecoder(self, texts, never=never, state=state)

    def weights(self) -> dict[str, torch.Tensor]:
        """Every array of every level."""
        levels = enumerate(self.ngrams.levels, start=1)
        return {f"{k}.{name}": torch.from_numpy(array) for k, level in levels for name, array in vars(level).items()}

    def load_weights(self, weights: dict[str, torch.Tensor]) -> None:
        """Replace the levels. Raises KeyError, TypeError or RuntimeError for the weights of another model."""
        parts: dict[int, dict[str, np.ndarray]] = {}
        for name, array in weights.items():
            order, _, part = name.partition(".")
            parts.setdefault(int(order) if order.isdecimal() else 0, {})[part] = array.numpy()
        levels = tuple(Level(**parts[order]) for order in range(1, len(parts) + 1))
        if not levels or len(levels[0].keys) != self.vocabulary_size:
            raise RuntimeError("counts of another vocabulary")
        self.ngrams = NgramModel(self.vocabulary_size, self.ngrams.end_id, levels)

    @classmethod
    def empty(cls, vocabulary_size: int, end_id: int) -> Self:
        """A model that has counted nothing, to load weights into."""
        return cls(NgramModel(vocabulary_size, end_id, ()))
