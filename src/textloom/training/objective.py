"""The loss of a training step: cross-entropy over all words or a sample of them, and consistency regularization."""

import numpy as np
import torch
from torch import nn

from textloom.batching.batch import Batch
from textloom.config import TrainerConfig
from textloom.data.encoding import TokenSplit
from textloom.training.consistency import symmetric_divergence, twice
from textloom.training.loss import mean_nats, softmax_nats
from textloom.training.sampled_softmax import SampledSoftmax


class Objective(nn.Module):
    """Computes the loss of a training step."""

    def __init__(self, consistency: float = 0.0, sampled: SampledSoftmax | None = None):
        """``consistency`` is the weight of consistency regularization; without ``sampled`` all words are scored."""
        super().__init__()
        self.consistency = consistency
        self.sampled = sampled

    @classmethod
    def of(cls, config: TrainerConfig, vocabulary_size: int, split: TokenSplit | None = None) -> "Objective":
        """The objective of a config. Words are sampled by their counts in a split; without it all are as frequent."""
        samples, sampled = config.softmax_samples, None
        if samples is not None and samples < vocabulary_size:
            counts = np.ones(vocabulary_size) if split is None else split.frequencies(vocabulary_size)
            sampled = SampledSoftmax(counts, samples)
        return cls(config.consistency_regularization, sampled)

    def rows(self, batch: Batch) -> Batch:
        """What the model reads for a batch: its rows, or with consistency regularization all of them twice."""
        return twice(batch) if self.consistency else batch

    def forward(
        self, softmax: nn.Linear | nn.AdaptiveLogSoftmaxWithLoss, hidden: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss, and the mean nats per target for the training curve, which has no gradient.

        ``hidden`` (targets, units) are the states of ``rows`` that have a target, ``targets`` (targets,) its targets.
        """
        if isinstance(softmax, nn.AdaptiveLogSoftmaxWithLoss):
            return self._adaptive(softmax, hidden, targets)
        if self.sampled is not None:
            passes = 2 if self.consistency else 1
            candidates = self.sampled.draw(targets[: len(targets) // passes])
            weight = softmax.weight.index_select(0, candidates.tokens)  # (candidates, units)
            bias = softmax.bias.index_select(0, candidates.tokens) - candidates.log_probabilities
            loss, nats = softmax_nats(
                hidden, weight, bias, candidates.targets.repeat(passes),
                shared=candidates.drawn, consistency=self.consistency,
            )  # fmt: skip
            return loss, candidates.nats_among_all(nats.view(passes, -1)).mean()
        if self.consistency:
            loss, nats = softmax_nats(hidden, softmax.weight, softmax.bias, targets, consistency=self.consistency)
            return loss, nats.mean()
        loss = mean_nats(softmax, hidden, targets)
        return loss, loss.detach()

    def _adaptive(
        self, softmax: nn.AdaptiveLogSoftmaxWithLoss, hidden: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        nats = mean_nats(softmax, hidden, targets)
        if not self.consistency:
            return nats, nats.detach()
        with torch.autocast(hidden.device.type, enabled=False):  # torch's own does not run under it
            divergence = symmetric_divergence(softmax.log_prob(hidden.float()))
        return nats + self.consistency * divergence, nats.detach()
