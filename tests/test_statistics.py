"""Intervals over crossed clusters and over trainings cover; p-values are corrected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from hashattack.benchmark.statistics import (
    crossed_interval,
    holm,
    student_interval,
    unpaired_interval,
)
from hashattack.datasets.seeds import generator

LUCK = 0.001  # how often a test of a rate fails by chance, over all draws


def at_least(times: int, rate: float) -> int:
    """Return the least number of times that something of a rate happens, but for bad luck."""
    return int(binom.ppf(LUCK, times, rate))


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


def test_crossed_clusters_of_nothing_and_of_one_level() -> None:
    nothing, labels = np.zeros(5), np.zeros(5, dtype=np.int64)
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


@pytest.mark.parametrize("trainings", [2, 5])
def test_intervals_of_independent_values_cover(trainings: int) -> None:
    draws = generator(8, "student-test")
    ends = [student_interval(draws.standard_normal(trainings)) for _ in range(200)]
    assert sum(low <= 0 <= high for low, high in ends) >= at_least(200, 0.95)
    assert student_interval(np.ones(1)) == (-1, 1)
