"""Intervals of results, differences of two attacks with p-values, and ranks that tests support."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hashattack.benchmark.statistics import LEVEL, interval, p_value
from hashattack.reports.results import Runs

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Scores = tuple[str, ...]  # keys of score jobs


@dataclass(frozen=True)
class Difference:
    """The mean t-MAP of one attack minus another's on the same queries, fractions."""

    mean: float
    low: float  # ends of its 95 % interval
    high: float
    p: float  # two-sided, not corrected for the number of tests


@dataclass(frozen=True)
class Rank:
    """A place in a ranking; ``tied`` where another attack has the same."""

    number: int
    tied: bool

    def __str__(self) -> str:
        """Return it as tables show it: ``2``, or ``2=`` where it is shared."""
        return f"{self.number}{'=' if self.tied else ''}"


class Uncertainty:
    """Intervals of the means of score jobs, and differences of two attacks; each computed once.

    Queries that share a target label share its target code. Differences are therefore resampled,
    and their signs flipped, by target label within each draw, as ``check`` does for a cell.
    """

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._values = functools.cache(runs.average_precisions)
        self.interval = functools.cache(self._interval)
        self.p_value = functools.cache(self._p_value)

    def _interval(self, scores: Scores) -> tuple[float, float]:
        """Return the 95 % interval over queries of the mean of some score jobs.

        Args:
            scores: of one attack under several seeds, or on several targets.
        """
        return interval(self._mean(scores))

    def _p_value(self, scores: Scores, others: Scores) -> float:
        """Return the paired p-value of two attacks on the same queries."""
        values, clusters = self._paired(scores, others)
        return p_value(values, clusters=clusters)

    def difference(self, scores: Scores, others: Scores) -> Difference:
        """Return the first minus the second, on the same queries.

        Args:
            scores: of one attack under some seeds, on some targets.
            others: of another on the same.
        """
        values, clusters = self._paired(scores, others)
        low, high = interval(values, clusters=clusters, widest=(-1.0, 1.0))
        return Difference(float(values.mean()), low, high, self.p_value(scores, others))

    def ranks(self, scores: Sequence[Scores]) -> list[Rank]:
        """Return the rank of each attack, best first.

        An attack shares the rank of the one above it where a paired permutation test finds no
        difference (p > .05) to the first of that rank; so no rank spans a significant difference.

        Args:
            scores: each attack's score jobs, in the order of their means; all on the same queries.
        """
        numbers: list[int] = []
        for place, own in enumerate(scores, start=1):
            first = scores[numbers[-1] - 1] if numbers else own
            same = bool(numbers) and self.p_value(first, own) > 1 - LEVEL
            numbers.append(numbers[-1] if same else place)
        return [Rank(number, numbers.count(number) > 1) for number in numbers]

    def _paired(self, scores: Scores, others: Scores) -> tuple[FloatArray, IntArray | None]:
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

    def _by_draw(self, scores: Scores) -> dict[str, list[str]]:
        draws: dict[str, list[str]] = {}
        for score in scores:
            draws.setdefault(self._runs.draw(score), []).append(score)
        return draws

    def _mean(self, scores: Sequence[str]) -> FloatArray:
        mean: FloatArray = np.mean([self._values(score) for score in scores], axis=0)
        return mean
