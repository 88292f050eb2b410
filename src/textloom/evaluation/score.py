"""The figures of a model on a text. It does not import torch, so that ``compare`` starts fast."""

from dataclasses import dataclass
from math import exp, log

from textloom.data.encoding import TokenSplit


def perplexity(loss: float) -> float:
    """exp(loss); infinity if a float cannot hold it."""
    return exp(loss) if loss < 700 else float("inf")


@dataclass(frozen=True)
class Score:
    """Loss and accuracy of a model on a text."""

    loss: float
    """Nats per target."""
    accuracy: float
    """Share of the targets that were the likeliest token."""
    bits_per_char: float
    """(Nats of all targets + nats to spell each ``<unk>``) / ln 2 / characters of the raw text: compares tokenizers."""
    unknown_rate: float
    """Share of the targets that were ``<unk>``."""
    targets: int
    """Tokens predicted."""

    @classmethod
    def of(cls, split: TokenSplit, nats: float, correct: int, targets: int) -> "Score":
        """The score computed from sums over this split."""
        return cls(
            loss=nats / targets,
            accuracy=correct / targets,
            bits_per_char=(nats + split.spelling_nats) / log(2) / split.characters,
            unknown_rate=split.unknown / split.targets,
            targets=targets,
        )

    @property
    def perplexity(self) -> float:
        """exp(loss)."""
        return perplexity(self.loss)

    def named(self, split: str) -> dict[str, float]:
        """The figures under their names in TensorBoard and in results.json."""
        return {
            f"{split}/loss": self.loss,
            f"{split}/perplexity": self.perplexity,
            f"{split}/bits_per_char": self.bits_per_char,
            f"{split}/accuracy": self.accuracy,
            f"{split}/unknown_rate": self.unknown_rate,
        }
