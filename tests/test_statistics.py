"""Intervals cover; permutation tests keep their level and find what is there."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.statistics import interval, p_value
from datasets.seeds import generator

QUERIES = 200


def average_precisions(draws: np.random.Generator, shift: float = 0.0) -> np.ndarray:
    """Return skewed values as an attack has them: most hits near one, some queries near chance."""
    hit = draws.random(QUERIES) < 0.7 + shift
    return np.where(hit, draws.beta(8, 1.5, QUERIES), draws.beta(2, 5, QUERIES))


TRUTH = 0.7 * 8 / 9.5 + 0.3 * 2 / 7


def test_intervals_cover_the_truth() -> None:
    draws = generator(0, "coverage-test")
    covered = 0
    for number in range(1000):
        low, high = interval(average_precisions(draws), seed=number)
        covered += low <= TRUTH <= high
    assert 930 <= covered <= 970


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_equal_values_have_no_width(value: float) -> None:
    assert interval(np.full(QUERIES, value)) == pytest.approx((value, value))


def test_almost_equal_values_have_an_interval() -> None:
    values = np.zeros(QUERIES)
    values[0] = 1
    low, high = interval(values)
    assert low < values.mean() < high


def test_an_interval_is_the_same_for_the_same_seed() -> None:
    values = average_precisions(generator(1, "coverage-test"))
    assert interval(values, seed=3) == interval(values, seed=3) != interval(values, seed=4)


def test_permutation_keeps_its_level_and_finds_a_difference() -> None:
    draws = generator(2, "permutation-test")
    alarms = found = 0
    for number in range(300):
        pair = average_precisions(draws), average_precisions(draws)
        alarms += p_value(pair[0] - pair[1], seed=number, resamples=399) <= 0.05
        better = average_precisions(draws, 0.2)
        found += p_value(better - pair[1], seed=number, resamples=399) <= 0.05
    assert alarms <= 26  # 15 are expected; more than 26 in one of 300 such tests
    assert found >= 280


def test_the_same_attack_twice_is_not_told_apart() -> None:
    assert p_value(np.zeros(QUERIES)) == 1


def test_one_query_says_nothing() -> None:
    assert interval(np.array([0.4])) == (0.0, 1.0)
