"""Scores: nats summed over targets and divided once. Padding has no target, so it cannot enter."""

from dataclasses import dataclass
from math import exp, log

import torch
from torch.nn import functional as F

from textloom.data.batches import Batch
from textloom.data.encoding import TokenSplit
from textloom.models.recurrent import RecurrentLanguageModel
from textloom.models.state import State

SCORED_AT_ONCE = 2048  # targets whose logits are in memory together in evaluation


def scored_states(hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
    """The hidden states that have a target: (batch, time, units) -> (targets, units)."""
    flat = hidden.flatten(0, 1)
    return flat if batch.positions is None else flat[batch.positions]


@dataclass(frozen=True)
class Score:
    """What a model achieves on a text."""

    loss: float
    """Nats per target."""
    accuracy: float
    """Share of the targets that were the likeliest token."""
    bits_per_char: float
    """(All nats + those to spell what is ``<unk>``) / ln 2 / characters of the raw text: compares tokenizers."""
    unknown_rate: float
    """Share of the targets that were ``<unk>``."""
    targets: int
    """Tokens predicted."""

    @property
    def perplexity(self) -> float:
        """exp(loss)."""
        return exp(self.loss) if self.loss < 700 else float("inf")

    def named(self, split: str) -> dict[str, float]:
        """The figures under their names in TensorBoard and in results.json."""
        return {
            f"{split}/loss": self.loss,
            f"{split}/perplexity": self.perplexity,
            f"{split}/bits_per_char": self.bits_per_char,
            f"{split}/accuracy": self.accuracy,
            f"{split}/unknown_rate": self.unknown_rate,
        }


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
                logits = model.logits(some)  # (targets, vocabulary)
                nats = F.cross_entropy(logits, targets, reduction="none")
                self.nats += (nats.cpu() if nats.device.type == "mps" else nats).double().sum()  # MPS has no float64
                self.correct += (logits.argmax(dim=1) == targets).sum()
        self.targets += len(batch.targets)

    def count(self, nats: float, correct: int, targets: int) -> None:
        """Add what a model that needs no batches has summed up itself."""
        self.nats += nats
        self.correct += correct
        self.targets += targets

    def score(self, part: TokenSplit) -> Score:
        """The figures of all that was added, which was this part of the corpus."""
        nats = float(self.nats)
        return Score(
            loss=nats / self.targets,
            accuracy=int(self.correct) / self.targets,
            bits_per_char=(nats + part.spelling_nats) / log(2) / part.characters,
            unknown_rate=part.unknown / part.targets,
            targets=self.targets,
        )
