"""The interval and the p-value of a mean come from one test, which covers and keeps its level."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, permutation_test

from hashattack.benchmark.statistics import ALPHA, RESAMPLES, Estimate, estimate, p_text
from hashattack.datasets.seeds import generator

LUCK = 0.001  # how often a test of a rate fails by chance, over all draws
TRUTH = 0.7  # the mean score of all target labels


def at_least(times: int, rate: float) -> int:
    """Return the least number of times that something of a rate happens, but for bad luck."""
    return int(binom.ppf(LUCK, times, rate))


def at_most(times: int, rate: float) -> int:
    return int(binom.ppf(1 - LUCK, times, rate))


def drawn(draws: np.random.Generator, labels: int, queries: int) -> tuple[np.ndarray, np.ndarray]:
    """Return skewed scores, half of whose variance is of target labels, and the labels ``[q]``."""
    level = draws.beta(3 * TRUTH, 3 * (1 - TRUTH), labels)
    clusters = draws.integers(labels, size=queries)
    means = np.clip(level[clusters], 1e-6, 1 - 1e-6)
    return draws.beta(2 * means, 2 * (1 - means)), clusters


def excludes_zero(one: Estimate) -> bool:
    return one.low > 0 or one.high < 0


def shares(sums: np.ndarray, sizes: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return the p-value of each mean ``[d]`` by every assignment of signs to the clusters."""
    signs = np.array(list(itertools.product([-1, 1], repeat=len(sums))))
    flipped = np.abs(signs @ (sums[:, None] - levels * sizes[:, None]))
    observed = np.abs(sums.sum() - levels * sizes.sum())
    shares: np.ndarray = (flipped >= observed - 1e-9).mean(axis=0)
    return shares


@pytest.mark.parametrize("n_clusters", [2, 5, 6, 7, 10])
def test_it_is_the_sign_flip_test_inverted(n_clusters: int) -> None:
    draws = generator(n_clusters, "inversion-test")
    clusters = np.concatenate([np.arange(n_clusters), draws.integers(n_clusters, size=20)])
    effects = 0.2 * draws.standard_normal(n_clusters)[clusters]
    values = 0.1 + effects + 0.1 * draws.standard_normal(len(clusters))
    sums, sizes = np.bincount(clusters, values), np.bincount(clusters)
    found = estimate(values, clusters=clusters)
    levels = np.linspace(-0.999, 0.999, 400)
    inside = (found.low <= levels) & (levels <= found.high)
    assert found.p == shares(sums, sizes, np.zeros(1))[0]
    assert inside.tolist() == (shares(sums, sizes, levels) > ALPHA).tolist()


@pytest.mark.parametrize("n_clusters", [4, 9])
def test_p_values_are_those_of_scipy(n_clusters: int) -> None:
    draws = generator(n_clusters, "scipy-test")
    for _ in range(5):
        values = np.round(draws.normal(0.2, 0.3, n_clusters), 1)  # with ties
        wanted = permutation_test(
            (values,), np.mean, permutation_type="samples", n_resamples=np.inf
        ).pvalue
        assert estimate(values).p == pytest.approx(wanted)


def test_random_divisions_estimate_the_same_p_value() -> None:
    draws = generator(0, "scipy-test")
    values = draws.normal(0.1, 0.2, 13)
    every = estimate(values, resamples=2**12).p
    spread = np.sqrt(every * (1 - every) / RESAMPLES)
    assert every / 2 < estimate(values).p != every
    assert estimate(values).p == pytest.approx(every, abs=3.3 * spread)


tenths = st.integers(-10, 10).map(lambda tenth: tenth / 10)
samples = st.lists(st.tuples(tenths, st.integers(0, 15)), min_size=1, max_size=60)
laws = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def arrays(sample: list[tuple[float, int]]) -> tuple[np.ndarray, np.ndarray]:
    values, clusters = zip(*sample, strict=True)
    return np.array(values), np.array(clusters)


@laws
@given(samples)
def test_interval_and_p_value_agree_with_ties_and_few_clusters(
    sample: list[tuple[float, int]],
) -> None:
    values, clusters = arrays(sample)
    found = estimate(values, clusters=clusters)
    assert excludes_zero(found) == (found.p <= ALPHA)
    assert -1 <= found.low <= found.mean <= found.high <= 1
    assert found.mean == pytest.approx(values.mean())


@laws
@given(samples, tenths, st.sampled_from([0.1, 0.5, 3.0]))
def test_intervals_follow_their_values(
    sample: list[tuple[float, int]], shift: float, scale: float
) -> None:
    values, clusters = arrays(sample)
    if len(np.unique(clusters)) < 6:
        return
    found = estimate(values, clusters=clusters)
    moved = estimate(scale * values + shift, clusters=clusters)
    ends = scale * np.array([found.low, found.mean, found.high]) + shift
    assert (moved.low, moved.mean, moved.high) == pytest.approx(tuple(ends), abs=1e-9)
    mirrored = estimate(-values, clusters=clusters)
    assert (-mirrored.high, -mirrored.low, mirrored.p) == (found.low, found.high, found.p)


def test_numbers_of_clusters_are_mere_names() -> None:
    draws = generator(3, "names-test")
    values, clusters = drawn(draws, 30, 100)
    renamed = draws.permutation(1000)[clusters]
    assert estimate(values, clusters=renamed) == estimate(values, clusters=clusters)


@pytest.mark.parametrize(("labels", "queries"), [(20, 100), (56, 200), (200, 500)])
def test_intervals_of_means_cover(labels: int, queries: int) -> None:
    draws, times = generator(labels, "coverage-test"), 200
    covered = 0
    for _ in range(times):
        values, clusters = drawn(draws, labels, queries)
        found = estimate(values, clusters=clusters, widest=(0, 1))
        assert 0 <= found.low <= found.high <= 1
        covered += found.low <= TRUTH <= found.high
    assert at_least(times, 0.93) <= covered <= at_most(times, 0.97)


@pytest.mark.parametrize("labels", [6, 20, 56])
def test_differences_cover_and_no_p_value_contradicts_its_interval(labels: int) -> None:
    draws, times = generator(labels, "agreement-test"), 200
    covered = 0
    for number in range(times):
        clusters = draws.integers(labels, size=100)
        effects = 0.05 * draws.standard_normal(labels)[clusters]
        shift = draws.choice([0, 0.02])  # near enough to be found as often as not
        values = shift + effects + 0.1 * draws.standard_normal(100)
        found = estimate(values, clusters=clusters)
        covered += found.low <= shift <= found.high
        assert excludes_zero(found) == (found.p <= ALPHA), number
    assert at_least(times, 0.93) <= covered <= at_most(times, 0.97)


def test_signs_flipped_by_label_keep_the_level_where_single_ones_do_not() -> None:
    draws = generator(5, "label-flip-test")
    alarms = [0, 0]
    for _ in range(100):
        labels = draws.integers(12, size=120)
        values = 0.05 * draws.standard_normal(120) + 0.1 * draws.standard_normal(12)[labels]
        for place, clusters in enumerate((labels, None)):
            alarms[place] += estimate(values, clusters=clusters).p <= ALPHA
    assert alarms[0] <= at_most(100, ALPHA) < 30 < alarms[1]


def test_a_difference_is_found() -> None:
    draws = generator(2, "permutation-test")
    found = 0
    for _ in range(100):
        ours, theirs = 0.2 + drawn(draws, 50, 200)[0], drawn(draws, 50, 200)[0]
        found += estimate(ours - theirs).p <= ALPHA
    assert found >= at_least(100, 0.98)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_equal_values_have_no_width(value: float) -> None:
    found = estimate(np.full(200, value), widest=(0, 1))
    assert (found.low, found.high) == pytest.approx((value, value))
    assert found.low <= found.mean <= found.high


def test_almost_equal_values_have_an_interval() -> None:
    values = np.zeros(200)
    values[0] = 1
    found = estimate(values)
    assert 0 == found.low < found.mean < found.high
    assert found.p == 1, "one query alone may have either sign"


def test_a_few_clusters_say_nothing_but_that_there_is_no_difference() -> None:
    draws = generator(8, "few-labels-test")
    for count in range(1, 6):
        labels = np.arange(30) % count
        found = estimate(1 + draws.random(30), clusters=labels)
        assert (found.low, found.high, found.p) == (-1, 1, 0.5 ** (count - 1))
        assert estimate(draws.random(30), clusters=labels, widest=(0, 1)).high == 1
        none = estimate(np.zeros(30), clusters=labels)
        assert (none.low, none.high, none.p) == (0, 0, 1)


def test_the_smallest_p_value_is_a_bound() -> None:
    values = 1 + generator(9, "bound-test").random(100)
    assert estimate(values).p == 1 / RESAMPLES
    assert estimate(values, resamples=5000).p == 1 / 6000, "whole batches"
    assert [p_text(p) for p in (1 / RESAMPLES, 0.001, 0.0015, 0.05, 1.0)] == [
        *("≤ 0.001", "≤ 0.001", "0.002", "0.050", "1.000")
    ]
