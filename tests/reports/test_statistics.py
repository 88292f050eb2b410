"""Welch and Holm, against the formulas worked out by hand."""

import math

import pytest
from scipy.stats import t

from textloom.reports.statistics import Spread, against_constant, holm, welch


def test_welchs_p_value_is_that_of_his_formula() -> None:
    one, other = Spread((1.0, 1.2, 0.9)), Spread((1.5, 1.1, 1.9, 1.6))
    a, b = (x.deviation**2 / len(x.values) for x in (one, other))  # type: ignore[operator]
    freedom = (a + b) ** 2 / (a**2 / 2 + b**2 / 3)
    statistic = abs(one.mean - other.mean) / math.sqrt(a + b)
    assert welch(one, other) == pytest.approx(2 * t.sf(statistic, freedom))


def test_one_seed_tells_nothing_and_so_do_equal_figures() -> None:
    assert welch(Spread((1.0,)), Spread((2.0, 2.1))) is None
    assert welch(Spread((2.0, 2.1)), Spread((1.0,))) is None
    assert welch(Spread((1.0, 1.0)), Spread((2.0, 2.0))) is None
    assert against_constant(Spread((1.0,)), 2.0) is None
    assert Spread((1.0,)).deviation is None


def test_holm_multiplies_the_smallest_by_all_the_next_by_one_less_and_never_falls() -> None:
    assert holm([0.03, 0.01, 0.02, 0.9]) == pytest.approx([0.06, 0.04, 0.06, 0.9])
    assert holm([0.4, 0.5]) == pytest.approx([0.8, 0.8])
    assert holm([]) == []


def test_a_mean_against_a_number() -> None:
    spread = Spread((1.0, 1.2, 1.1))
    statistic = abs(spread.mean - 1.5) / (spread.deviation / math.sqrt(3))  # type: ignore[operator]
    assert against_constant(spread, 1.5) == pytest.approx(2 * t.sf(statistic, 2))
