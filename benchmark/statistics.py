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
        values: one a query ``[q]``; where there are several a query (seeds, targets), their mean.
        clusters: the number of the group each value belongs to ``[q]``, resampled together; None
            where every query stands for itself.
        widest: what is returned where there is only one of them, unless its values are zero.
        seed: of the resampling.

    Returns:
        Its ends; the mean twice where all values are equal. Of fewer than twenty groups, those
        of Student's t on their sums.
    """
    from scipy.stats import bootstrap  # it takes a second to import

    sums, sizes = _grouped(values, clusters)
    mean = float(np.mean(values))
    if np.ptp(values) == 0 and (len(sums) > 1 or mean == 0):
        return mean, mean
    if len(sums) < 2:
        return widest
    if len(sums) < _FEW:  # too few to resample
        spread = _deviation(sums - mean * sizes, sizes) * _student(len(sums) - 1)
        return mean - spread, mean + spread
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
        spread = _deviation(sums - mean * sizes, sizes) * _student(len(sums) - 1)
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

    Returns:
        It; 1 where there is one group, whose sign says nothing.
    """
    from scipy.stats import permutation_test

    sums, _ = _grouped(differences, clusters)
    if len(sums) < 2 or not np.any(differences):
        return 1.0
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


def holm(p_values: FloatArray) -> FloatArray:
    """Return p-values adjusted by Holm's step-down method (1979), in their order ``[m]``."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p_values[order]), 1)
    return adjusted


def crossed_interval(
    values: FloatArray,
    labels: IntArray,
    *,
    seed: int = 0,
    widest: tuple[float, float] = (-1.0, 1.0),
) -> tuple[float, float]:
    """Return the 95 % interval of a mean over crossed clusters.

    Targets, seeds, queries and target labels are each resampled by themselves, and a value weighs
    the product of their weights (the pigeonhole bootstrap; Owen 2007), which errs on the wide side.
    A factor of one level tells nothing and stays; under one seed queries stand within labels. For
    the few levels there are, variances are scaled by n / (n - 1) and the ends moved out as
    Student's t has them, its degrees of freedom by Satterthwaite from what each factor adds.

    Args:
        values: ``[targets, seeds, queries]``; NaN where there is none.
        labels: the number of each query's target label under each seed ``[seeds, queries]``.
        seed: of the resampling.
        widest: what is returned where every factor has one level.

    Returns:
        The interval's ends.
    """
    there = ~np.isnan(values)
    known = values[there]
    mean = float(known.mean())
    if np.ptp(known) == 0:
        return mean, mean
    numbers = labels + np.arange(len(labels))[:, None] * (labels.max() + 1)  # each seed its own
    shape = values.shape
    factors = {
        "target": np.broadcast_to(np.arange(shape[0])[:, None, None], shape),
        "seed": np.broadcast_to(np.arange(shape[1])[None, :, None], shape),
        "label": np.broadcast_to(numbers, shape),
        "query": np.broadcast_to(np.arange(shape[2]), shape),
    }
    if shape[1] == 1:
        del factors["query"]
    levels = {
        name: np.unique(rows[there], return_inverse=True)[1] for name, rows in factors.items()
    }
    levels = {name: rows for name, rows in levels.items() if rows.max() > 0}
    if not levels:
        return widest
    draws = np.random.default_rng(seed)
    centred = known - mean
    means = np.empty(RESAMPLES)
    for number in range(RESAMPLES):
        weights = np.ones(len(known))
        for rows in levels.values():
            size = rows.max() + 1
            drawn = np.bincount(draws.integers(size, size=size), minlength=size)
            weights *= (1 + (drawn - 1) * np.sqrt(size / (size - 1)))[rows]
        means[number] = mean + (weights * centred).sum() / len(known)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    wider = _student(_freedom(centred, list(levels.values()))) / _student(np.inf)
    return float(mean - (mean - low) * wider), float(mean + (high - mean) * wider)


def unpaired_interval(
    ours: FloatArray, theirs: FloatArray, *, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two means over independent clusters.

    Args:
        ours: a mean a cluster ``[n]``.
        theirs: the other side's ``[m]``.
        seed: of the resampling.

    Returns:
        The ends of the BCa interval of ours minus theirs; of fewer than twenty clusters on a side,
        those of Welch's t; [-1, 1] where a side has one.
    """
    from scipy.stats import bootstrap, ttest_ind

    if min(len(ours), len(theirs)) < 2:
        return -1.0, 1.0
    if np.ptp(ours) == np.ptp(theirs) == 0:
        return float(ours[0] - theirs[0]), float(ours[0] - theirs[0])
    welch = ttest_ind(ours, theirs, equal_var=False).confidence_interval(LEVEL)
    if min(len(ours), len(theirs)) < _FEW:  # too few to resample
        return float(welch.low), float(welch.high)
    found = bootstrap(
        (ours, theirs),
        lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
        vectorized=True,
        confidence_level=LEVEL,
        n_resamples=RESAMPLES,
        method="BCa",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    if np.isnan(found.low) or np.isnan(found.high):  # too few distinct values for the correction
        found = welch
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


def _deviation(residuals: FloatArray, sizes: FloatArray) -> float:
    """Return the standard deviation of a mean from the sums of its groups' residuals."""
    groups = len(residuals)
    return float(np.sqrt((residuals**2).sum() * groups / (groups - 1)) / sizes.sum())


def _student(freedom: float) -> float:
    """Return how many standard deviations a two-sided interval reaches."""
    from scipy.stats import t

    return float(t.ppf((1 + LEVEL) / 2, freedom))


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
