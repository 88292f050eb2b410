"""What a model achieves on a text, in figures. Needs no torch: comparing runs starts at once."""

from dataclasses import dataclass
from math import exp, log

from textloom.data.encoding import TokenSplit


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

    @classmethod
    def of(cls, part: TokenSplit, nats: float, correct: int, targets: int) -> "Score":
        """The figures from the sums over this part of the corpus."""
        return cls(
            loss=nats / targets,
            accuracy=correct / targets,
            bits_per_char=(nats + part.spelling_nats) / log(2) / part.characters,
            unknown_rate=part.unknown / part.targets,
            targets=targets,
        )

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
