"""Scoring batches: nats summed over targets and divided once. Padding has no target, so it cannot enter."""

import torch
from torch import nn
from torch.nn import functional as F

from textloom.batching.batch import Batch
from textloom.data.encoding import TokenSplit
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.models.score import Score
from textloom.models.state import State
from textloom.system.progress import advance

SCORED_AT_ONCE = 2048  # targets whose logits are in memory together in evaluation


def scored_states(hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
    """The hidden states that have a target: (batch, time, units) -> (targets, units)."""
    flat = hidden.flatten(0, 1)
    return flat if batch.positions is None else flat.index_select(0, batch.positions)


def _nats_and_likeliest(
    model: RecurrentLanguageModel, hidden: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of (targets, units): what each target costs, and the token that would have cost least."""
    if isinstance(model.softmax, nn.AdaptiveLogSoftmaxWithLoss):
        return -model.softmax(hidden, targets).output, model.softmax.predict(hidden)
    logits = model.logits(hidden)  # (targets, vocabulary)
    return F.cross_entropy(logits, targets, reduction="none"), logits.argmax(dim=1)


class Tally:
    """Sums over the batches of an evaluation, in float64, divided once at the end."""

    def __init__(self) -> None:
        self.nats: torch.Tensor | float = 0.0
        self.correct: torch.Tensor | int = 0
        self.targets = 0
        self.state: State | None = None

    @torch.no_grad()
    def add(self, model: RecurrentLanguageModel, batch: Batch) -> None:
        """Score one batch, in float32 whatever the training's precision, going on from the batch before."""
        with torch.autocast(batch.inputs.device.type, enabled=False):
            hidden, self.state = model(batch.inputs, None if batch.starts else self.state)
            hidden = scored_states(hidden, batch)
            for some, targets in zip(
                torch.split(hidden, SCORED_AT_ONCE), torch.split(batch.targets, SCORED_AT_ONCE), strict=True
            ):
                nats, likeliest = _nats_and_likeliest(model, some, targets)
                self.nats += (nats.cpu() if nats.device.type == "mps" else nats).double().sum()  # MPS has no float64
                self.correct += (likeliest == targets).sum()
        self.targets += len(batch.targets)
        advance(len(batch.targets))

    def score(self, part: TokenSplit) -> Score:
        """The figures of all that was added, which was this part of the corpus."""
        return Score.of(part, float(self.nats), int(self.correct), self.targets)
