"""Significance: means over seeds, Welch's t-test, and Holm's correction for multiple tests.

scipy.stats takes a second to import, so the tests import it themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Spread:
    """One figure over the seeds of a configuration."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Arithmetic mean."""
        return fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the sample (n - 1); None for one seed."""
        return stdev(self.values) if len(self.values) > 1 else None


def welch(one: Spread, other: Spread) -> float | None:
    """The two-sided p-value of equal means with unequal variances (Welch 1947, Biometrika 34).

    None if it cannot be computed: one seed on either side, or no spread on both.
    """
    if not one.deviation and not other.deviation:
        return None
    if min(len(one.values), len(other.values)) < 2:
        return None
    from scipy.stats import ttest_ind

    return float(ttest_ind(one.values, other.values, equal_var=False).pvalue)


def against_constant(spread: Spread, constant: float) -> float | None:
    """The two-sided p-value of a mean equal to the constant (Student's t-test); None without a spread."""
    if not spread.deviation:
        return None
    from scipy.stats import ttest_1samp

    return float(ttest_1samp(spread.values, constant).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values to keep the family-wise error rate.

    Holm (1979), "A simple sequentially rejective multiple test procedure".
    """
    adjusted, floor = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        floor = max(floor, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = floor
    return adjusted
