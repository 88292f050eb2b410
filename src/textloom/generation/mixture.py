"""Several models that generate one text: averages of probabilities, and contrastive decoding."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import log
from typing import Literal

import torch

from textloom.evaluation.mixture import interpolate
from textloom.models.language_model import Decoder, LanguageModel
from textloom.models.state import State

PLAUSIBLE = 0.1
"""Share of the highest probability that a token needs in contrastive decoding: ``alpha`` of Li et al. (2022)."""

Combination = Literal["average", "contrast"]


@dataclass(frozen=True)
class Partner:
    """A model that writes together with the first one."""

    model: LanguageModel
    combination: Combination
    weight: float
    """average: its share of the probability; contrast: the factor of its log-probabilities, which are subtracted."""


class MixedModel(LanguageModel):
    """A model and its partners, which read the same tokens; its state is the states of all of them, one after another.

    Averages come first: the probability of a token is that of the first model times the share that the partners leave,
    plus theirs. Then a contrast subtracts log-probabilities from those of the result, for tokens that are plausible
    (Li et al. 2022, "Contrastive decoding", arXiv 2210.15097, equation 2).
    """

    def __init__(self, first: LanguageModel, partners: Sequence[Partner]):
        super().__init__()
        self.models: list[LanguageModel] = [first, *(partner.model for partner in partners)]
        for number, model in enumerate(self.models):
            self.add_module(f"model_{number}", model)
        self.partners = partners
        self.vocabulary_size = first.vocabulary_size
        self._places = [0, *accumulate(len(model.initial_state(1)) for model in self.models)]

    @property
    def device(self) -> torch.device:
        """The device of the first model."""
        return self.models[0].device

    def split(self, state: State) -> list[State]:
        """The states of the models."""
        return [state[begin:end] for begin, end in pairwise(self._places)]

    def forward(self, inputs: torch.Tensor, state: State | None = None) -> tuple[torch.Tensor, State]:
        """The hidden states of the first model, and the states of all after the last token."""
        states = [None] * len(self.models) if state is None else self.split(state)
        found = [model(inputs, own) for model, own in zip(self.models, states, strict=True)]
        return found[0][0], tuple(part for _, after in found for part in after)

    def initial_state(self, batch_size: int) -> State:
        """The initial states of all models."""
        return tuple(part for model in self.models for part in model.initial_state(batch_size))

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Not defined: the hidden states are those of one model alone."""
        raise NotImplementedError("a mixture scores in its decoder")

    def decoder(
        self, texts: int, window: int | None = None, never: int | None = None, state: State | None = None
    ) -> "MixedDecoder":
        """A decoder of each model, side by side."""
        states = [None] * len(self.models) if state is None else self.split(state)
        pairs = zip(self.models, states, strict=True)
        decoders = [model.decoder(texts, window, never, own) for model, own in pairs]
        return MixedDecoder(decoders, self.partners, self.split)

    def weights(self) -> dict[str, torch.Tensor]:
        """The weights of all models, and how the models are combined."""
        numbered = enumerate(model.weights() for model in self.models)
        named = {f"{number}.{name}": weight for number, own in numbered for name, weight in own.items()}
        shares = torch.tensor([partner.weight for partner in self.partners])
        kinds = torch.tensor([partner.combination == "contrast" for partner in self.partners])
        return {**named, "shares": shares, "contrasts": kinds}

    def load_weights(self, weights: dict[str, torch.Tensor]) -> None:
        """Not defined: each model has a run of its own."""
        raise NotImplementedError("a mixture is made of models that are loaded already")


class MixedDecoder:
    """The decoders of several models, whose scores are combined."""

    def __init__(self, decoders: Sequence[Decoder], partners: Sequence[Partner], split: Callable[[State], list[State]]):
        self._decoders, self._partners, self._split = decoders, partners, split
        self.device = decoders[0].device
        self.multiplications = sum(decoder.multiplications for decoder in decoders)
        self.recordable = all(decoder.recordable for decoder in decoders)

    def read(self, tokens: torch.Tensor) -> None:
        """Update the state of every text with its next token, (texts,)."""
        for decoder in self._decoders:
            decoder.read(tokens.to(decoder.device))  # n-grams are looked up on the CPU

    def score(self) -> torch.Tensor:
        """Log-probabilities, or contrasts of them, of every text's next token, (texts, vocabulary)."""
        first, *others = [decoder.score().to(self.device).float().log_softmax(dim=1) for decoder in self._decoders]
        pairs = list(zip(self._partners, others, strict=True))
        averaged = [(partner.weight, scores) for partner, scores in pairs if partner.combination == "average"]
        if averaged:
            weights = [weight for weight, _ in averaged]
            first = interpolate([first, *(scores for _, scores in averaged)], [max(0.0, 1 - sum(weights)), *weights])
        for partner, scores in pairs:
            if partner.combination == "contrast":
                plausible = first >= first.amax(dim=1, keepdim=True) + log(PLAUSIBLE)
                first = torch.where(plausible, first - partner.weight * scores, -torch.inf)
        return first

    def place(self, row: int, state: State | None) -> None:
        """Set the state of one text; None sets the initial state."""
        states = [None] * len(self._decoders) if state is None else self._split(state)
        for decoder, own in zip(self._decoders, states, strict=True):
            decoder.place(row, own)

    def copy_row(self, source: Decoder, row: int | slice) -> None:
        """Set the state of some texts to that of a decoder of one text."""
        assert isinstance(source, MixedDecoder)
        for mine, its in zip(self._decoders, source._decoders, strict=True):
            mine.copy_row(its, row)

    def select(self, rows: torch.Tensor) -> None:
        """Give text k the state of text ``rows[k]``, for all texts."""
        for decoder in self._decoders:
            decoder.select(rows.to(decoder.device))
