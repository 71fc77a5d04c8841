"""Means over queries with intervals and tests that agree. Imports no torch.

One mechanism serves scores and differences: the clusters of queries (those of one target label) are
divided into two parts at random, many times. The p-value of a mean of d is the share of divisions
in which d lies between the means of the two parts.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from hashattack.datasets.seeds import generator

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

ALPHA = 0.05
LEVEL = 1 - ALPHA
RESAMPLES = 2000
LEAST_P = 0.001  # smaller p-values are shown as no larger than this
_BATCH = 2000  # divisions at a time: bounds memory
_DIGITS = 12  # of a mean, so that equal ones are equal whatever the order of their sum


@dataclass(frozen=True)
class Estimate:
    """A mean, its 95 % interval, and the p-value of a mean of zero."""

    mean: float
    low: float
    high: float
    p: float  # two-sided; at most .05 if and only if the interval excludes zero


def estimate(
    values: FloatArray,
    *,
    clusters: IntArray | None = None,
    widest: tuple[float, float] = (-1.0, 1.0),
    resamples: int = RESAMPLES,
) -> Estimate:
    """Return a mean with the interval and the p-value of one test.

    The p-value of a mean of d is the share of divisions of the clusters in which d lies between the
    means of both parts, ends included. That is the paired permutation test: with the signs of one
    part of ``values - d`` flipped, the sum is no nearer to zero. The 95 % interval is every d whose
    p-value is above .05 (Hartigan 1969, "Using Subsample Values as Typical Values"). All divisions
    are tried where there are at most ``resamples``, else random ones, the same in every call.

    Args:
        values: one per query ``[q]``: scores, or differences of two attacks.
        clusters: each query's group ``[q]``, which stays together; None: queries are independent.
        widest: the interval of fewer than six clusters, which no test at .05 can tell apart.
        resamples: how many divisions at least; the smallest p-value is one in so many.

    Returns:
        The estimate. Of zeros alone its interval has no width, however few there are.
    """
    mean = float(values.mean())
    if not values.any():
        return Estimate(0.0, 0.0, 0.0, 1.0)
    lows, highs = _means_of_parts(*_grouped(values, clusters), resamples)
    p = float(np.mean((lows <= 0) & (highs >= 0)))
    outside = int(ALPHA * len(lows))  # divisions which an end may lack
    low, high = np.partition(lows, outside)[outside], -np.partition(-highs, outside)[outside]
    if math.isinf(low):
        return Estimate(mean, *widest, p)
    return Estimate(mean, min(float(low), mean), max(float(high), mean), p)


def p_text(p: float) -> str:
    """Return a p-value as tables and sentences show it."""
    return f"≤ {LEAST_P:g}" if p <= LEAST_P else f"{p:.3f}"


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted by Holm's step-down method (1979), in their order."""
    from statsmodels.stats.multitest import multipletests

    return [float(p) for p in multipletests(p_values, method="holm")[1]] if p_values else []


def crossed_interval(
    values: FloatArray, factors: Sequence[IntArray], *, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of a mean difference over crossed clusters; [-1, 1] for only one.

    The levels of every factor are resampled independently, and a value's weight is the product of
    theirs (the pigeonhole bootstrap; Owen 2007), which errs on the wide side. A factor of one level
    is left out. As levels are few, variances are scaled by n / (n - 1), and the ends moved out as
    Student's t does, with Satterthwaite's degrees of freedom.

    Args:
        values: differences ``[n]``.
        factors: the level of each value ``[n]``, by targets, seeds, target labels, queries.
        seed: of the resampling.
    """
    mean = float(values.mean())
    if np.ptp(values) == 0:
        return mean, mean
    numbered = (np.unique(factor, return_inverse=True)[1] for factor in factors)
    levels = [rows for rows in numbered if rows.max() > 0]
    if not levels:
        return -1.0, 1.0
    draws = np.random.default_rng(seed)
    centred = values - mean
    means = np.empty(RESAMPLES)
    for number in range(RESAMPLES):
        weights = np.ones(len(values))
        for rows in levels:
            size = rows.max() + 1
            drawn = np.bincount(draws.integers(size, size=size), minlength=size)
            weights *= (1 + (drawn - 1) * np.sqrt(size / (size - 1)))[rows]
        means[number] = mean + (weights * centred).sum() / len(values)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    wider = _student(_freedom(centred, levels)) / _student(np.inf)
    return float(mean - (mean - low) * wider), float(mean + (high - mean) * wider)


def unpaired_interval(ours: FloatArray, theirs: FloatArray) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two means of independent trainings.

    Args:
        ours: a mean per training ``[n]``.
        theirs: the other side's ``[m]``.

    Returns:
        The ends, by Welch's t; [-1, 1] where a side has one.
    """
    if min(len(ours), len(theirs)) < 2:
        return -1.0, 1.0
    if np.ptp(ours) == np.ptp(theirs) == 0:
        return float(ours[0] - theirs[0]), float(ours[0] - theirs[0])
    from scipy.stats import ttest_ind  # it takes a second to import

    welch = ttest_ind(ours, theirs, equal_var=False).confidence_interval(LEVEL)
    return float(welch.low), float(welch.high)


def student_interval(values: FloatArray) -> tuple[float, float]:
    """Return the 95 % interval of the mean of independent values ``[n]``; [-1, 1] of only one."""
    if len(values) < 2:
        return -1.0, 1.0
    mean, deviation = values.mean(), values.std(ddof=1) / math.sqrt(len(values))
    spread = _student(len(values) - 1) * deviation
    return float(mean - spread), float(mean + spread)


def _freedom(centred: FloatArray, levels: list[npt.NDArray[np.intp]]) -> float:
    """Return the degrees of freedom of a sum of the factors' variances (Satterthwaite 1946)."""
    total = rest = 0.0
    for rows in levels:
        sums = np.bincount(rows, centred)
        variance = float((sums**2).sum()) * len(sums) / (len(sums) - 1)
        total += variance
        rest += variance**2 / (len(sums) - 1)
    return total**2 / rest if rest else float("inf")


def _student(freedom: float) -> float:
    """Return the half width of a two-sided 95 % interval in standard deviations."""
    from scipy.stats import t

    return float(t.ppf((1 + LEVEL) / 2, freedom))


def _grouped(values: FloatArray, clusters: IntArray | None) -> tuple[FloatArray, FloatArray]:
    """Return the sum and the size of each group."""
    if clusters is None:
        return values, np.ones(len(values))
    numbers = pd.factorize(clusters)[0]  # in their order, however they are numbered
    sums = np.bincount(numbers, values).astype(np.float64)
    return sums, np.bincount(numbers).astype(np.float64)


def _means_of_parts(
    sums: FloatArray, sizes: FloatArray, resamples: int
) -> tuple[FloatArray, FloatArray]:
    """Return the lower and the higher mean of the two parts of each division ``[divisions]``.

    All and nothing is one of them; between its means lies every number.
    """
    clusters = np.stack([sums, sizes])
    means = []
    with np.errstate(invalid="ignore"):  # the mean of nothing
        for division in _divisions(len(sums), resamples):
            # Without BLAS, whose threads wait for each other where others work.
            first = np.einsum("dc,kc->kd", division, clusters[:, :-1])
            parts = np.stack([first, clusters.sum(axis=1, keepdims=True) - first])
            means.append(np.round(parts[:, 0] / parts[:, 1], _DIGITS))
    found = np.concatenate(means, axis=1)
    lows, highs = found.min(axis=0), found.max(axis=0)
    return np.nan_to_num(lows, nan=-np.inf), np.nan_to_num(highs, nan=np.inf)


def _divisions(clusters: int, resamples: int) -> Iterator[FloatArray]:
    """Yield batches ``[divisions, clusters - 1]`` of which clusters are in the first part.

    The last cluster never is: a division and its mirror image are the same. The first division is
    that into nothing and all.
    """
    every = 2 ** (clusters - 1)
    for batch in range(math.ceil(min(every, resamples) / _BATCH)):
        yield _batch(clusters, batch, every if every <= resamples else None)


@functools.lru_cache(maxsize=4)
def _batch(clusters: int, number: int, every: int | None) -> FloatArray:
    if every is not None:
        numbers = np.arange(number * _BATCH, min((number + 1) * _BATCH, every))
        return (numbers[:, None] >> np.arange(clusters - 1) & 1).astype(np.float64)
    draws = generator(0, "divisions", number)
    drawn = draws.integers(2, size=(_BATCH, clusters - 1), dtype=np.int8).astype(np.float64)
    if number == 0:
        drawn[0] = 0
    return drawn
