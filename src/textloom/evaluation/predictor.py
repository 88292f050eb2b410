"""Predictions of a model for the batches of a protocol, with temperature, gradient steps, cache and interpolation.

Memory does not grow with the length of the text.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple

import torch
from torch.nn import functional as F

from textloom.batching.batch import Batch
from textloom.evaluation.adaptation import Adaptation
from textloom.evaluation.cache import ContinuousCache
from textloom.evaluation.dynamic import DynamicEvaluation, differentiable
from textloom.evaluation.mixture import interpolate
from textloom.models.language_model import LanguageModel
from textloom.models.state import State, detach

LOGITS_AT_ONCE = 1 << 22  # 16 MB of float32


class Prediction(NamedTuple):
    """The predictions of some targets of a batch, in its order."""

    scores: torch.Tensor
    """(targets, vocabulary), log-probabilities."""
    targets: torch.Tensor
    """(targets,)."""
    part: slice
    """The indices of these targets in the batch."""

    @property
    def nats(self) -> torch.Tensor:
        """Negative log-likelihood of each target, (targets,)."""
        return -self.scores.gather(1, self.targets[:, None]).squeeze(1)


class Reader:
    """One model, with the state that it carries from batch to batch."""

    def __init__(self, model: LanguageModel):
        self.model = model
        self.state: State | None = None

    def read(self, batch: Batch) -> torch.Tensor:
        """The hidden states that have a target, (targets, units)."""
        batch = batch.to(self.model.device)
        hidden, state = self.model(batch.inputs, None if batch.starts else self.state)
        self.state = detach(state)
        return batch.states_with_targets(hidden)

    def scores(self, hidden: torch.Tensor) -> torch.Tensor:
        """Log-probabilities, (targets, vocabulary)."""
        return F.log_softmax(self.model.logits(hidden), dim=-1)


class Predictor:
    """Predicts the batches of one text in their order. ``close`` restores the model."""

    def __init__(
        self,
        model: LanguageModel,
        adaptation: Adaptation,
        other: LanguageModel | None = None,
        rms: list[torch.Tensor] | None = None,
    ):
        """``other`` is the model of ``adaptation.mix``, ``rms`` the result of ``gradient_rms``."""
        self.model = model
        self.adaptation = adaptation
        self._own = Reader(model)
        self._other = None if other is None or adaptation.mix is None else Reader(other)
        self._cache = None if adaptation.cache is None else ContinuousCache(adaptation.cache)
        self._dynamic: DynamicEvaluation | None = None
        if adaptation.dynamic is not None and adaptation.dynamic.moves:
            assert rms is not None
            self._dynamic = DynamicEvaluation(model, adaptation.dynamic, rms)

    def close(self) -> None:
        """Put the trained weights back."""
        if self._dynamic is not None:
            self._dynamic.restore()

    def predict(self, batch: Batch) -> Iterator[Prediction]:
        """The predictions of a batch, a part of its targets at a time; then the weights may learn from it."""
        batch = batch.to(self.model.device)
        loss = torch.zeros((), device=self.model.device)
        with self._gradients():
            hidden = self._own.read(batch)
        with torch.no_grad():
            others = None if self._other is None else self._other.read(batch)
        size = max(1, LOGITS_AT_ONCE // self.model.vocabulary_size)
        for begin in range(0, len(batch.targets), size):
            part = slice(begin, begin + size)
            with self._gradients():
                logits = self.model.logits(hidden[part])  # (targets, vocabulary)
                scores = F.log_softmax(logits, dim=1)
                if self._dynamic is not None:
                    loss = loss + F.nll_loss(scores, batch.targets[part], reduction="sum")
            with torch.no_grad():
                if self.adaptation.temperature is not None:
                    scores = F.log_softmax(logits / self.adaptation.temperature, dim=1)
                other = None if others is None else others[part]
                adapted = self._adapted(scores.detach(), hidden[part].detach(), batch.targets[part], other)
                yield Prediction(adapted, batch.targets[part], part)
        if self._dynamic is not None and len(batch.targets):
            self._dynamic.learn(loss / len(batch.targets))

    def _gradients(self) -> AbstractContextManager[object]:
        return torch.no_grad() if self._dynamic is None else differentiable(self.model)

    def _adapted(
        self, scores: torch.Tensor, hidden: torch.Tensor, targets: torch.Tensor, others: torch.Tensor | None
    ) -> torch.Tensor:
        """The log-probabilities with the cache and the other model mixed in."""
        if self._cache is not None:
            scores = self._cache.mix(scores, hidden, targets)
        if self._other is not None:
            assert others is not None
            assert self.adaptation.mix is not None
            weight = self.adaptation.mix.weight
            scores = interpolate([scores, self._other.scores(others).to(scores)], [1 - weight, weight])
        return scores
