"""The loss of a training step: cross-entropy over all words or a sample of them, and consistency regularization."""

import numpy as np
import torch
from torch import nn

from textloom.batching.batch import Batch
from textloom.config import TrainerConfig
from textloom.data.encoding import TokenSplit
from textloom.training.consistency import twice
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

    @property
    def passes(self) -> int:
        """How often the model reads each row of a batch."""
        return 2 if self.consistency else 1

    def rows(self, batch: Batch) -> Batch:
        """What the model reads for a batch: its rows, or with consistency regularization all of them twice."""
        return twice(batch) if self.consistency else batch

    def forward(
        self, softmax: nn.Linear | nn.AdaptiveLogSoftmaxWithLoss, hidden: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss, and the mean nats per target for the training curve, which has no gradient.

        ``hidden`` (targets, units) are the states of ``rows`` that have a target, ``targets`` (targets,) its targets.
        An adaptive softmax has neither samples nor consistency regularization.
        """
        if isinstance(softmax, nn.AdaptiveLogSoftmaxWithLoss) or not (self.sampled or self.consistency):
            loss = mean_nats(softmax, hidden, targets)
            return loss, loss.detach()
        if self.sampled is None:
            loss, nats = softmax_nats(hidden, softmax.weight, softmax.bias, targets, consistency=self.consistency)
            return loss, nats.mean()
        candidates = self.sampled.draw(targets[: len(targets) // self.passes])
        weight = softmax.weight.index_select(0, candidates.tokens)  # (candidates, units)
        bias = softmax.bias.index_select(0, candidates.tokens) - candidates.log_probabilities
        loss, nats = softmax_nats(
            hidden, weight, bias, candidates.targets.repeat(self.passes),
            shared=candidates.drawn, consistency=self.consistency,
        )  # fmt: skip
        return loss, candidates.nats_among_all(nats.view(self.passes, -1)).mean()
