"""The figures of ``results.json``: their names, whether lower or higher is better, and the best of several values."""

from typing import Literal

from textloom.config.suggestions import nearest
from textloom.errors import ConfigError

Direction = Literal["minimize", "maximize"]

BITS_PER_CHAR = "val/bits_per_char"
HELD_OUT = ("val/", "test/")
NAMES = (
    *(f"{split}{name}" for split in HELD_OUT for name in ("loss", "perplexity", "bits_per_char", "accuracy")),
    *("train/targets_per_second", "train/model_flops_per_second", "train/flop_utilisation"),
    *("parameters", "vocabulary_size", "steps", "duration_seconds"),
)
HIGHER_IS_BETTER = ("accuracy", "per_second", "utilisation")


def lower_is_better(metric: str) -> bool:
    """True if lower is better: losses, sizes and times, but not shares and speeds."""
    return not metric.endswith(HIGHER_IS_BETTER)


def is_quality(metric: str) -> bool:
    """True if the metric measures how well a text was predicted; the others are costs."""
    return metric.startswith(HELD_OUT)


def is_per_target(metric: str) -> bool:
    """True if the metric is a mean over targets: it does not compare runs with different tokenizers."""
    return is_quality(metric) and not metric.endswith("bits_per_char")


def directions(metrics: tuple[str, ...]) -> list[Direction]:
    """The direction of each of a sweep's metrics. Raises ConfigError for a name that no run has."""
    for name in metrics:
        if name not in NAMES:
            raise ConfigError(
                f"sweep.metric={name}: no run has it{nearest(name, list(NAMES))}; choose from {', '.join(NAMES)}"
            )
    return ["minimize" if lower_is_better(name) else "maximize" for name in metrics]


def pareto_front(values: list[tuple[float, ...]], metrics: tuple[str, ...]) -> list[int]:
    """Indices of the values that no other value dominates; with a single metric, of the best value."""
    signs = [1.0 if lower_is_better(name) else -1.0 for name in metrics]
    costs = [tuple(sign * value for sign, value in zip(signs, row, strict=True)) for row in values]
    return [index for index, row in enumerate(costs) if not any(_dominates(other, row) for other in costs)]


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
