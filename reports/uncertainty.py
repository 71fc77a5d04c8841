"""Intervals of results, differences of two attacks with p-values, and ranks that tests support."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hashattack.benchmark.statistics import ALPHA, Estimate, estimate
from hashattack.reports.results import Runs

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Scores = tuple[str, ...]  # keys of score jobs


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

    Queries that share a target label share its target code, those of a non-targeted attack their
    own labels. Label rows are therefore what intervals and tests resample, as ``check`` does for a
    cell.
    """

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._values = functools.cache(runs.average_precisions)
        self.interval = functools.cache(self._interval)
        self.difference = functools.cache(self._difference)

    def _interval(self, scores: Scores) -> tuple[float, float] | None:
        """Return the 95 % interval of the mean of some score jobs, if there is one.

        Args:
            scores: of one attack under several seeds, or on several hashers.

        Returns:
            Its ends; None where fewer than six label rows allow any mean.
        """
        values, clusters = self._by_query(self._by_draw(scores))
        found = estimate(values, clusters=clusters, widest=(0.0, 1.0))
        ends = found.low, found.high
        return None if ends == (0.0, 1.0) else ends

    def _difference(self, scores: Scores, others: Scores) -> Estimate:
        """Return the first minus the second, on the same queries; p is of no difference.

        Args:
            scores: of one attack under some seeds, on some hashers.
            others: of another on the same.
        """
        ours, theirs = self._by_draw(scores), self._by_draw(others)
        if not ours.keys() & theirs.keys():  # nothing but queries in common
            return estimate(self._mean(scores) - self._mean(others))
        shared = [{draw: side[draw] for draw in ours if draw in theirs} for side in (ours, theirs)]
        (values, clusters), (other_values, _) = map(self._by_query, shared)
        return estimate(values - other_values, clusters=clusters)

    def p_value(self, scores: Scores, others: Scores) -> float:
        """Return the paired p-value of two attacks on the same queries."""
        return self.difference(scores, others).p

    def ranks(self, scores: Sequence[Scores]) -> list[Rank]:
        """Return the rank of each attack, best first.

        An attack shares the rank of the one above it where a paired permutation test finds no
        difference (p > .05) to the first of that rank. Two others of a rank may yet differ.

        Args:
            scores: each attack's score jobs, in the order of their means; all on the same queries.
        """
        numbers: list[int] = []
        for place, own in enumerate(scores, start=1):
            first = scores[numbers[-1] - 1] if numbers else own
            same = bool(numbers) and self.p_value(first, own) > ALPHA
            numbers.append(numbers[-1] if same else place)
        return [Rank(number, numbers.count(number) > 1) for number in numbers]

    def _by_query(self, draws: dict[str, list[str]]) -> tuple[FloatArray, IntArray | None]:
        """Return the means of score jobs, one per draw and query, and their label rows.

        These are None where the jobs have no draw.
        """
        values = np.concatenate([self._mean(scores) for scores in draws.values()])
        if "" in draws:
            return values, None
        labels = [self._runs.target_labels(scores[0]) for scores in draws.values()]
        return values, np.concatenate(labels)

    def _by_draw(self, scores: Scores) -> dict[str, list[str]]:
        draws: dict[str, list[str]] = {}
        for score in scores:
            draws.setdefault(self._runs.draw(score), []).append(score)
        return draws

    def _mean(self, scores: Sequence[str]) -> FloatArray:
        mean: FloatArray = np.mean([self._values(score) for score in scores], axis=0)
        return mean
