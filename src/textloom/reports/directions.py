"""Which way the figures of ``results.json`` are better."""

HIGHER_IS_BETTER = ("accuracy", "per_second", "utilisation")


def lower_is_better(metric: str) -> bool:
    """Whether less of it is more: losses, sizes and times; not shares and speeds."""
    return not metric.endswith(HIGHER_IS_BETTER)
