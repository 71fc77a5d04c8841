"""How sure a mean over queries is, and whether two differ. Imports no torch."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

LEVEL = 0.95
RESAMPLES = 1999
_BATCH = 500  # resamples at a time: bounds memory with many queries


def interval(
    values: FloatArray,
    *,
    clusters: IntArray | None = None,
    widest: tuple[float, float] = (0.0, 1.0),
    seed: int = 0,
) -> tuple[float, float]:
    """Return the 95 % interval of the mean by the BCa bootstrap (Efron 1987).

    Args:
        values: one a query ``[q]``; where there are several a query (seeds, targets), their mean.
        clusters: the number of the group each value belongs to ``[q]``, resampled together; None
            where every query stands for itself.
        widest: what is returned where there is only one of them.
        seed: of the resampling.

    Returns:
        Its ends; the mean twice where all values are equal.
    """
    from scipy.stats import bootstrap  # it takes a second to import

    sums, sizes = _grouped(values, clusters)
    if len(sums) < 2:
        return widest
    mean = float(np.mean(values))
    if np.ptp(values) == 0:
        return mean, mean
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a degenerate resample; see below
        found = bootstrap(
            (sums, sizes) if clusters is not None else (values,),
            _ratio if clusters is not None else np.mean,
            paired=clusters is not None,
            vectorized=True,
            confidence_level=LEVEL,
            n_resamples=RESAMPLES,
            method="BCa",
            batch=_BATCH,
            rng=np.random.default_rng(seed),
        ).confidence_interval
    low, high = float(found.low), float(found.high)
    if np.isnan(low) or np.isnan(high):  # too few distinct values for the correction
        spread = 1.96 * float(np.std(sums, ddof=1)) * len(sums) ** 0.5 / float(sizes.sum())
        return mean - spread, mean + spread
    return low, high


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
        clusters: the number of the group each query belongs to ``[q]``, whose signs change
            together; None where every query stands for itself.
        seed: of the permutations.
        resamples: how many; the smallest p-value is about 2 / (resamples + 1).
    """
    from scipy.stats import permutation_test

    if not np.any(differences):
        return 1.0
    found = permutation_test(
        (_grouped(differences, clusters)[0],),
        np.mean,
        permutation_type="samples",
        n_resamples=resamples,
        batch=_BATCH,
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def holm(p_values: FloatArray) -> FloatArray:
    """Return p-values adjusted by Holm's step-down method (1979), in their order ``[m]``."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p_values[order]), 1)
    return adjusted


def crossed_interval(
    values: FloatArray, *, seed: int = 0, widest: tuple[float, float] = (-1.0, 1.0)
) -> tuple[float, float]:
    """Return the 95 % interval of a mean over crossed clusters.

    Each factor is resampled by itself and a value weighs the product of its factors' weights (the
    pigeonhole bootstrap; Owen 2007), which errs on the wide side; a factor of one level tells
    nothing and stays.

    Args:
        values: ``[targets, seeds, queries]``; NaN where there is none.
        seed: of the resampling.
        widest: what is returned where every factor has one level.

    Returns:
        The interval's ends, by percentiles.
    """
    there = ~np.isnan(values)
    if not any(size > 1 for size in values.shape):
        return widest
    known = values[there]
    if np.ptp(known) == 0:
        return float(known[0]), float(known[0])
    draws = np.random.default_rng(seed)
    weights = [
        draws.multinomial(size, np.full(size, 1 / size), RESAMPLES).astype(float)
        for size in values.shape
    ]
    filled, counted = np.where(there, values, 0), there.astype(float)
    sums, counts = (
        np.einsum("tsq,bt,bs,bq->b", array, *weights, optimize=True) for array in (filled, counted)
    )
    means = sums[counts > 0] / counts[counts > 0]
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def unpaired_interval(
    ours: FloatArray, theirs: FloatArray, *, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two means over independent clusters.

    Args:
        ours: a mean a cluster ``[n]``.
        theirs: the other side's ``[m]``.
        seed: of the resampling.

    Returns:
        The ends of the BCa interval of ours minus theirs; [-1, 1] where a side has one cluster.
    """
    from scipy.stats import bootstrap

    if min(len(ours), len(theirs)) < 2:
        return -1.0, 1.0
    if np.ptp(ours) == np.ptp(theirs) == 0:
        return float(ours[0] - theirs[0]), float(ours[0] - theirs[0])
    found = bootstrap(
        (ours, theirs),
        lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
        vectorized=True,
        confidence_level=LEVEL,
        n_resamples=RESAMPLES,
        method="BCa",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def _grouped(values: FloatArray, clusters: IntArray | None) -> tuple[FloatArray, FloatArray]:
    """Return the sum and the size of each group."""
    if clusters is None:
        return values, np.ones(len(values))
    numbers = np.unique(clusters, return_inverse=True)[1]
    sums = np.bincount(numbers, values).astype(np.float64)
    return sums, np.bincount(numbers).astype(np.float64)


def _ratio(sums: FloatArray, sizes: FloatArray, axis: int) -> FloatArray:
    mean: FloatArray = sums.sum(axis=axis) / sizes.sum(axis=axis)
    return mean
