"""How sure a mean over queries is, and whether two differ. Imports no torch."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

LEVEL = 0.95
RESAMPLES = 1999
_BATCH = 500  # resamples at a time: bounds memory with many queries


def interval(values: FloatArray, *, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of the mean by the BCa bootstrap (Efron 1987) over queries.

    Args:
        values: one a query ``[q]``; where there are several a query (seeds, targets), their mean.
        seed: of the resampling.

    Returns:
        Its ends; the mean twice where all values are equal, [0, 1] for a single query.
    """
    from scipy.stats import bootstrap  # it takes a second to import

    if len(values) < 2:
        return 0.0, 1.0
    if np.ptp(values) == 0:
        return float(np.mean(values)), float(np.mean(values))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a degenerate resample; see below
        found = bootstrap(
            (values,),
            np.mean,
            confidence_level=LEVEL,
            n_resamples=RESAMPLES,
            method="BCa",
            batch=_BATCH,
            rng=np.random.default_rng(seed),
        ).confidence_interval
    low, high = float(found.low), float(found.high)
    if np.isnan(low) or np.isnan(high):  # too few distinct values for the correction
        spread = 1.96 * float(np.std(values, ddof=1)) / len(values) ** 0.5
        return float(np.mean(values)) - spread, float(np.mean(values)) + spread
    return low, high


def p_value(differences: FloatArray, *, seed: int = 0, resamples: int = RESAMPLES) -> float:
    """Return the two-sided p-value of a mean difference of zero, by paired permutation.

    Args:
        differences: of two attacks on the same queries ``[q]``.
        seed: of the permutations.
        resamples: how many; the smallest p-value is about 2 / (resamples + 1).
    """
    from scipy.stats import permutation_test

    if not np.any(differences):
        return 1.0
    found = permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        n_resamples=resamples,
        batch=_BATCH,
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)
