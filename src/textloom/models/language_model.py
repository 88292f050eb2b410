"""What evaluation and generation take: any of the models, as a torch module."""

import numpy as np
import torch
from torch import nn

from textloom.models.recurrent import RecurrentLanguageModel
from textloom.models.state import State
from textloom.ngram.model import Level, NgramModel


class NgramLanguageModel(nn.Module):
    """Counted n-grams behind the interface of the recurrent models.

    The hidden state after a token is its last ``order - 1`` tokens, with ``<eos>`` for what lies before the text:
    contexts begin there anyway.
    """

    def __init__(self, ngrams: NgramModel):
        super().__init__()
        self.ngrams = ngrams
        self.vocabulary_size = ngrams.vocabulary_size
        self.device = torch.device("cpu")

    def forward(self, inputs: torch.Tensor, state: State | None = None) -> tuple[torch.Tensor, State]:
        """The tokens to look back on at each step, (batch, time, order - 1), and those after the last step."""
        back = self.ngrams.order - 1
        before = self.initial_state(len(inputs))[0] if state is None else state[0]
        read = torch.cat([before[0], inputs], dim=1)  # (batch, order - 1 + time)
        hidden = read.unfold(1, back, 1)[:, 1:] if back else read.new_zeros((*inputs.shape, 0))
        return hidden, (read[None, :, read.shape[1] - back :],)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Log-probabilities of every token: (..., order - 1) -> (..., vocabulary_size)."""
        contexts = hidden.reshape(hidden.shape[:-1].numel(), hidden.shape[-1]).numpy()  # order 1 looks back on nothing
        rows = np.log(np.stack([self.ngrams.distribution(context) for context in contexts]))
        return torch.from_numpy(rows).reshape(*hidden.shape[:-1], self.vocabulary_size)

    def initial_state(self, batch_size: int) -> State:
        """As at the beginning of a document."""
        return (torch.full((1, batch_size, self.ngrams.order - 1), self.ngrams.end_id),)

    def counts(self) -> dict[str, torch.Tensor]:
        """Every array of every level, for a checkpoint."""
        levels = enumerate(self.ngrams.levels, start=1)
        return {f"{k}.{name}": torch.from_numpy(array) for k, level in levels for name, array in vars(level).items()}

    @classmethod
    def from_counts(cls, state: dict[str, torch.Tensor], vocabulary_size: int, end_id: int) -> "NgramLanguageModel":
        """The model of a checkpoint. Raises KeyError, TypeError or RuntimeError for what is not one's counts."""
        parts: dict[int, dict[str, np.ndarray]] = {}
        for name, array in state.items():
            order, _, part = name.partition(".")
            parts.setdefault(int(order) if order.isdecimal() else 0, {})[part] = array.numpy()
        levels = tuple(Level(**parts[order]) for order in range(1, len(parts) + 1))
        if not levels or len(levels[0].keys) != vocabulary_size:
            raise RuntimeError("counts of another vocabulary")
        return cls(NgramModel(vocabulary_size, end_id, levels))


LanguageModel = RecurrentLanguageModel | NgramLanguageModel
