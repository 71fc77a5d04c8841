"""Intervals cover; permutation tests keep their level and find what is there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from hashattack.benchmark.statistics import (
    crossed_interval,
    holm,
    interval,
    p_value,
    unpaired_interval,
)
from hashattack.datasets.seeds import generator

QUERIES = 200
LUCK = 0.001  # how often a test of a rate fails by chance, over all draws


def at_least(times: int, rate: float) -> int:
    """Return the least number of times that something of a rate happens, but for bad luck."""
    return int(binom.ppf(LUCK, times, rate))


def at_most(times: int, rate: float) -> int:
    return int(binom.ppf(1 - LUCK, times, rate))


def average_precisions(draws: np.random.Generator, shift: float = 0.0) -> np.ndarray:
    """Return skewed values as an attack has them: most hits near one, some queries near chance."""
    hit = draws.random(QUERIES) < 0.7 + shift
    return np.where(hit, draws.beta(8, 1.5, QUERIES), draws.beta(2, 5, QUERIES))


TRUTH = 0.7 * 8 / 9.5 + 0.3 * 2 / 7


def test_intervals_cover_the_truth() -> None:
    draws = generator(0, "coverage-test")
    covered = 0
    for number in range(300):
        low, high = interval(average_precisions(draws), seed=number)
        covered += low <= TRUTH <= high
    assert at_least(300, 0.95) <= covered <= at_most(300, 0.95)


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
    for number in range(150):
        pair = average_precisions(draws), average_precisions(draws)
        alarms += p_value(pair[0] - pair[1], seed=number, resamples=399) <= 0.05
        better = average_precisions(draws, 0.2)
        found += p_value(better - pair[1], seed=number, resamples=399) <= 0.05
    assert alarms <= at_most(150, 0.05)
    assert found >= at_least(150, 0.98)


def test_an_attack_does_not_differ_from_itself() -> None:
    assert p_value(np.zeros(QUERIES)) == 1


def test_one_query_says_nothing() -> None:
    assert interval(np.array([0.4])) == (0.0, 1.0)


def clustered(draws: np.random.Generator, shape: tuple[int, int, int], labels: np.ndarray) -> Any:
    """Return differences about zero with luck of targets, of labels and of single queries."""
    targets, seeds, _ = shape
    values = 0.1 * draws.standard_normal(shape) + 0.01 * draws.standard_normal((targets, 1, 1))
    for seed in range(seeds):
        luck = 0.04 * draws.standard_normal((targets, labels.max() + 1))
        values[:, seed] += luck[:, labels[seed]]
    return values


def flat(values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the known values of ``[targets, seeds, queries]``, and each one's level by factor."""
    target, seed, query = np.nonzero(~np.isnan(values))
    factors = [target, seed, 1000 * seed + labels[seed, query]]
    return values[target, seed, query], factors + ([query] if values.shape[1] > 1 else [])


@pytest.mark.parametrize(("shape", "n_labels"), [((2, 3, 60), 20), ((4, 1, 40), 4)])
def test_intervals_over_few_clusters_cover(shape: tuple[int, int, int], n_labels: int) -> None:
    draws = generator(3, "crossed-test")
    covered = 0
    for number in range(25):
        labels = draws.integers(n_labels, size=shape[1:])
        low, high = crossed_interval(*flat(clustered(draws, shape, labels), labels), seed=number)
        covered += low <= 0 <= high
    assert covered >= at_least(25, 0.95)


@pytest.mark.parametrize("n_labels", [2, 4, 30])
def test_intervals_by_target_label_cover(n_labels: int) -> None:
    draws = generator(4, "clusters-test")
    covered = 0
    for number in range(200):
        labels = draws.integers(n_labels, size=100)
        values = 0.1 * draws.standard_normal(100) + 0.05 * draws.standard_normal(n_labels)[labels]
        low, high = interval(values, clusters=labels, widest=(-1, 1), seed=number)
        covered += low <= 0 <= high
    assert covered >= at_least(200, 0.95)


def test_signs_flipped_by_label_keep_the_level_where_single_ones_do_not() -> None:
    draws = generator(5, "label-flip-test")
    alarms = [0, 0]
    for number in range(100):
        labels = draws.integers(12, size=120)
        values = 0.05 * draws.standard_normal(120) + 0.1 * draws.standard_normal(12)[labels]
        for place, clusters in enumerate((labels, None)):
            alarms[place] += p_value(values, clusters=clusters, seed=number, resamples=399) <= 0.05
    assert alarms[0] <= 11 < 30 < alarms[1]


def test_a_difference_of_nothing_has_no_width_however_few_there_are() -> None:
    nothing, labels = np.zeros(5), np.zeros(5, dtype=np.int64)
    assert interval(nothing, clusters=labels, widest=(-1, 1)) == (0, 0)
    assert interval(nothing + 0.1, clusters=labels, widest=(-1, 1)) == (-1, 1)
    assert crossed_interval(nothing, [labels]) == (0, 0)
    assert crossed_interval(np.arange(5.0), [labels]) == (-1, 1), "one target, one seed, one label"


def test_missing_values_are_left_out_of_an_interval() -> None:
    draws = generator(6, "absent-test")
    labels = np.stack([np.arange(20) % 7] * 2)
    values = draws.standard_normal((3, 2, 20))
    values[1, 1] = np.nan
    low, high = crossed_interval(*flat(values, labels))
    assert low < np.nanmean(values) < high


def test_holm_steps_down() -> None:
    adjusted = holm([0.01, 0.04, 0.03, 0.005])
    assert adjusted == pytest.approx([0.03, 0.06, 0.06, 0.02])  # Holm's own procedure by hand
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


def test_unpaired_clusters_are_resampled_on_each_side() -> None:
    ours, theirs = np.array([0.5, 0.52, 0.48, 0.5]), np.array([0.4, 0.41, 0.39])
    low, high = unpaired_interval(ours, theirs)
    assert 0.07 < low < 0.1 < high < 0.13
    assert unpaired_interval(ours[:1], theirs) == (-1, 1)


@pytest.mark.parametrize("clusters", [2, 3, 25])
def test_intervals_of_few_trainings_cover(clusters: int) -> None:
    draws = generator(7, "unpaired-test")
    covered = 0
    for _ in range(200):
        ours, theirs = 0.05 * draws.standard_normal((2, clusters))
        low, high = unpaired_interval(ours, theirs)
        covered += low <= 0 <= high
    assert covered >= at_least(200, 0.95)


def test_one_target_label_says_nothing() -> None:
    draws = generator(8, "one-label-test")
    assert p_value(draws.standard_normal(9), clusters=np.zeros(9, dtype=np.int64)) == 1
    assert p_value(draws.standard_normal(1)) == 1
