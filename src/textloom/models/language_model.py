"""The interface that evaluation, generation and checkpoints use: recurrent networks and counted n-grams have it."""

from abc import ABC, abstractmethod
from typing import Protocol

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from textloom.models.state import State


class Decoder(Protocol):
    """Reads one token of each text at a time and scores the next ones."""

    device: torch.device
    multiplications: int
    """Approximate number of multiplications in a step."""
    recordable: bool
    """True if a step updates preallocated buffers, so that a CUDA graph can replay it."""

    def read(self, tokens: torch.Tensor) -> None:
        """Update the state of every text with its next token, (texts,)."""

    def score(self) -> torch.Tensor:
        """Logits or log-probabilities of every text's next token, (texts, vocabulary)."""

    def place(self, row: int, state: State | None) -> None:
        """Set the state of one text; None sets the initial state. With a window only None is allowed."""

    def copy_row(self, source: "Decoder", row: int | slice) -> None:
        """Set the state of some texts to that of a decoder of one text. Not with a window."""

    def select(self, rows: torch.Tensor) -> None:
        """Give text k the state of text ``rows[k]``, (texts,), for all texts."""


class LanguageModel(nn.Module, ABC):
    """A model that predicts the next token from the tokens before it."""

    vocabulary_size: int

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """The device that the model computes on."""

    @abstractmethod
    def forward(self, inputs: torch.Tensor, state: State | None = None) -> tuple[torch.Tensor, State]:
        """Hidden states, (batch, time, units), and the state after the last token.

        ``inputs`` are token ids, (batch, time); ``state`` is what an earlier call returned, None for the initial one.
        """

    @abstractmethod
    def initial_state(self, batch_size: int) -> State:
        """The state before the first token of a document."""

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the parts of the state."""
        return tuple(f"state_{number}" for number in range(len(self.initial_state(1))))

    @abstractmethod
    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits or log-probabilities of every token, (..., units) -> (..., vocabulary_size)."""

    def nats_and_argmax(self, hidden: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Per-target negative log-likelihood and argmax: (targets, units), (targets,) -> (targets,) each."""
        logits = self.logits(hidden)  # (targets, vocabulary)
        return F.cross_entropy(logits, targets, reduction="none"), logits.argmax(dim=1)

    def score_text(self, tokens: np.ndarray) -> tuple[float, int] | None:
        """Summed negative log-likelihood of all tokens but the first, and the number of those that were the likeliest.

        None if the model has to be run over the text in batches.
        """
        return None

    @abstractmethod
    def decoder(
        self, texts: int, window: int | None = None, never: int | None = None, state: State | None = None
    ) -> Decoder:
        """A decoder for this many texts side by side, each from its beginning, or from the ``state`` of one text.

        With a ``window`` each token is predicted from the last ``window`` tokens only, and there is no state. The
        token ``never`` cannot be drawn: its score is minus infinity.
        """

    @abstractmethod
    def weights(self) -> dict[str, torch.Tensor]:
        """All learned tensors by name, as checkpoints and exports hold them."""

    @abstractmethod
    def load_weights(self, weights: dict[str, torch.Tensor]) -> None:
        """Replace all learned tensors.

        Raises KeyError, TypeError, RuntimeError or AttributeError if these are the weights of another model.
        """


def distinct_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """The state dict without repetitions: a tensor with several names (tied weights) is listed under the first one."""
    state = model.state_dict(keep_vars=True)
    first: dict[int, str] = {}
    for name, tensor in state.items():
        first.setdefault(id(tensor), name)
    return {name: state[name].detach() for name in first.values()}
