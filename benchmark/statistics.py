"""Confidence intervals of means over queries, and tests of differences. Imports no torch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

LEVEL = 0.95
RESAMPLES = 1999
_BATCH = 500  # resamples at a time: bounds memory with many queries
_FEW = 20  # groups below which a bootstrap of them is far too narrow


def interval(
    values: FloatArray,
    *,
    clusters: IntArray | None = None,
    widest: tuple[float, float] = (0.0, 1.0),
    seed: int = 0,
) -> tuple[float, float]:
    """Return the 95 % interval of the mean by the BCa bootstrap (Efron 1987).

    Args:
        values: one per query ``[q]``, the mean where there are several (of seeds, of targets).
        clusters: each query's group ``[q]``, resampled together; None: queries are independent.
        widest: the interval of a single group, unless its values are zero.
        seed: of the resampling.

    Returns:
        The ends; the mean twice where all values are equal. With fewer than twenty groups, those
        of Student's t on their sums.
    """
    sums, sizes = _grouped(values, clusters)
    mean = float(np.mean(values))
    if np.ptp(values) == 0 and (len(sums) > 1 or mean == 0):
        return mean, mean
    if len(sums) < 2:
        return widest
    if len(sums) >= _FEW:
        if clusters is None:
            low, high = _bca((values,), np.mean, seed, batch=_BATCH)
        else:
            low, high = _bca((sums, sizes), _ratio, seed, paired=True, batch=_BATCH)
        if not np.isnan([low, high]).any():
            return low, high
    # Too few groups to resample, or too few distinct values for the correction.
    residuals = sums - mean * sizes
    deviation = np.sqrt((residuals**2).sum() * len(sums) / (len(sums) - 1)) / sizes.sum()
    spread = float(deviation) * _student(len(sums) - 1)
    return mean - spread, mean + spread


def p_value(
    differences: FloatArray,
    *,
    clusters: IntArray | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> float:
    """Return the two-sided p-value of a mean difference of zero, by paired permutation.

    Args:
        differences: of two attacks on the same queries ``[q]``.
        clusters: each query's group ``[q]``, flipped together; None: queries are independent.
        seed: of the permutations.
        resamples: how many; the smallest p-value is about 2 / (resamples + 1).
    """
    from scipy.stats import permutation_test

    sums, _ = _grouped(differences, clusters)
    if len(sums) < 2 or not np.any(differences):
        return 1.0  # the sign of a single group means nothing
    found = permutation_test(
        (sums,),
        np.mean,
        permutation_type="samples",
        n_resamples=resamples,
        batch=_BATCH,
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


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
    """Return the 95 % interval of the difference of two means over independent clusters.

    Args:
        ours: a mean per cluster ``[n]``.
        theirs: the other side's ``[m]``.

    Returns:
        The ends of the BCa interval of ours minus theirs; with fewer than twenty clusters on a
        side, those of Welch's t; [-1, 1] where a side has one.
    """
    if min(len(ours), len(theirs)) < 2:
        return -1.0, 1.0
    if np.ptp(ours) == np.ptp(theirs) == 0:
        return float(ours[0] - theirs[0]), float(ours[0] - theirs[0])
    if min(len(ours), len(theirs)) >= _FEW:
        low, high = _bca((ours, theirs), _gap, seed=0)
        if not np.isnan([low, high]).any():
            return low, high
    from scipy.stats import ttest_ind

    welch = ttest_ind(ours, theirs, equal_var=False).confidence_interval(LEVEL)
    return float(welch.low), float(welch.high)


def _bca(
    samples: tuple[FloatArray, ...], statistic: Callable[..., Any], seed: int, **options: Any
) -> tuple[float, float]:
    """Return the ends of a BCa interval; NaN where there are too few distinct values for it."""
    from scipy.stats import bootstrap  # it takes a second to import

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a degenerate resample
        found = bootstrap(
            samples,
            statistic,
            vectorized=True,
            confidence_level=LEVEL,
            n_resamples=RESAMPLES,
            method="BCa",
            rng=np.random.default_rng(seed),
            **options,
        ).confidence_interval
    return float(found.low), float(found.high)


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
    numbers = np.unique(clusters, return_inverse=True)[1]
    sums = np.bincount(numbers, values).astype(np.float64)
    return sums, np.bincount(numbers).astype(np.float64)


def _gap(ours: FloatArray, theirs: FloatArray, axis: int) -> Any:
    return ours.mean(axis=axis) - theirs.mean(axis=axis)


def _ratio(sums: FloatArray, sizes: FloatArray, axis: int) -> Any:
    return sums.sum(axis=axis) / sizes.sum(axis=axis)
