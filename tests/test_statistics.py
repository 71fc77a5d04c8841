"""Intervals cover, permutation tests keep their level and find what is there, Holm corrects."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.statistics import holm, interval, p_value
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


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_stepping_down_rejects(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    rejected = set()
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[index] * (len(p_values) - place) > 0.05:
            break
        rejected.add(index)
    assert {index for index, value in enumerate(adjusted) if value <= 0.05} == rejected
    assert all(1 >= new >= old for new, old in zip(adjusted, p_values, strict=True))
