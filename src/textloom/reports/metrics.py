"""The figures that runs can be ranked by."""

from collections.abc import Iterable

from textloom.config.suggestions import nearest
from textloom.errors import ConfigError
from textloom.reports.collect import Record

BITS_PER_CHAR = "val/bits_per_char"
PARTS = ("val/", "test/")


def is_quality(metric: str) -> bool:
    """Whether it says how well a text was predicted; else it is a cost."""
    return metric.startswith(PARTS)


def is_per_target(metric: str) -> bool:
    """Whether it depends on what a target is, so that runs with different tokenizers have no common scale."""
    return is_quality(metric) and not metric.endswith("bits_per_char")


def require_metric(metric: str, records: Iterable[Record]) -> None:
    """Raises ConfigError, with the nearest name, where some run is completed but none has the metric."""
    completed = [record for record in records if record.completed]
    known = sorted({name for record in completed for name in record.results})
    if completed and metric not in known:
        raise ConfigError(f"metric={metric}: no run has it{nearest(metric, known)}; choose one of {', '.join(known)}")
