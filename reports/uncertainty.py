"""Intervals and comparisons of results."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hashattack.benchmark.statistics import interval, p_value
from hashattack.reports.runs import Runs

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Difference:
    """The mean t-MAP of one attack minus another's on the same trials, fractions."""

    mean: float
    low: float  # ends of its 95 % interval
    high: float
    p: float  # two-sided, not corrected for how many are tested


class Judge(Protocol):
    """Says how sure means of score jobs are, and whether two differ; see :class:`Uncertainty`."""

    def interval(self, scores: Sequence[str]) -> tuple[float, float]:
        """Return the 95 % interval over queries of the mean of some score jobs."""

    def p_value(self, scores: Sequence[str], others: Sequence[str]) -> float:
        """Return the paired p-value of two attacks on the same queries."""

    def difference(self, scores: Sequence[str], others: Sequence[str]) -> Difference:
        """Return the first minus the second, on the same queries."""


class Uncertainty:
    """Intervals of means of score jobs, and differences of two with their p-values.

    Queries that share a target label share its target code, so that differences are resampled,
    and their signs flipped, by target label, each draw's its own, as for a cell of ``check``.
    """

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._values = functools.cache(runs.average_precisions)
        self._interval = functools.cache(self._interval_of)
        self._p_value = functools.cache(self._p_value_of)

    def interval(self, scores: Sequence[str]) -> tuple[float, float]:
        """Return the 95 % interval over queries of the mean of some score jobs.

        Args:
            scores: keys; of one attack under several seeds, or on several targets.
        """
        return self._interval(tuple(scores))

    def p_value(self, scores: Sequence[str], others: Sequence[str]) -> float:
        """Return the paired p-value of two attacks on the same queries."""
        return self._p_value(tuple(scores), tuple(others))

    def difference(self, scores: Sequence[str], others: Sequence[str]) -> Difference:
        """Return the first minus the second, on the same queries.

        Args:
            scores: keys; of one attack under some seeds, on some targets.
            others: of another on the same.
        """
        values, clusters = self._paired(scores, others)
        low, high = interval(values, clusters=clusters, widest=(-1.0, 1.0))
        return Difference(float(values.mean()), low, high, self.p_value(scores, others))

    def _interval_of(self, scores: tuple[str, ...]) -> tuple[float, float]:
        return interval(self._mean(scores))

    def _p_value_of(self, scores: tuple[str, ...], others: tuple[str, ...]) -> float:
        values, clusters = self._paired(scores, others)
        return p_value(values, clusters=clusters)

    def _paired(
        self, scores: Sequence[str], others: Sequence[str]
    ) -> tuple[FloatArray, IntArray | None]:
        """Return differences, a value a draw and query, and the number of each one's cluster.

        Without clusters where the two have no draw in common, or none is known.
        """
        mine, theirs = self._by_draw(scores), self._by_draw(others)
        draws = [draw for draw in mine if draw and draw in theirs]
        if not draws:
            return self._mean(scores) - self._mean(others), None
        values = [self._mean(mine[draw]) - self._mean(theirs[draw]) for draw in draws]
        clusters, before = [], 0
        for draw in draws:
            labels = self._runs.target_labels(mine[draw][0])
            clusters.append(labels + before)
            before += int(labels.max()) + 1
        return np.concatenate(values), np.concatenate(clusters)

    def _by_draw(self, scores: Sequence[str]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for score in scores:
            found.setdefault(self._runs.draw(score), []).append(score)
        return found

    def _mean(self, scores: Sequence[str]) -> FloatArray:
        mean: FloatArray = np.mean([self._values(score) for score in scores], axis=0)
        return mean
