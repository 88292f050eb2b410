"""What a sweep can look for: every figure of a run's results, and which way is better."""

from typing import Literal

from textloom.config.suggestions import nearest
from textloom.errors import ConfigError
from textloom.reports.directions import lower_is_better

Direction = Literal["minimize", "maximize"]

KNOWN = (
    *(f"{part}/{name}" for part in ("val", "test") for name in ("loss", "perplexity", "bits_per_char", "accuracy")),
    *("train/targets_per_second", "train/model_flops_per_second", "train/flop_utilisation"),
    *("parameters", "vocabulary_size", "steps", "duration_seconds"),
)


def directions(metrics: tuple[str, ...]) -> list[Direction]:
    """Which way each is better. Raises ConfigError for one that no run has."""
    for name in metrics:
        if name not in KNOWN:
            raise ConfigError(
                f"sweep.metric={name}: no run has it{nearest(name, list(KNOWN))}; choose from {', '.join(KNOWN)}"
            )
    return ["minimize" if lower_is_better(name) else "maximize" for name in metrics]


def best(values: list[tuple[float, ...]], metrics: tuple[str, ...]) -> list[int]:
    """Which of them no other beats in one metric without losing in another: of one metric, the best."""
    signs = [1.0 if way == "minimize" else -1.0 for way in directions(metrics)]
    costs = [tuple(sign * value for sign, value in zip(signs, row, strict=True)) for row in values]
    return [index for index, row in enumerate(costs) if not any(_dominates(other, row) for other in costs)]


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
