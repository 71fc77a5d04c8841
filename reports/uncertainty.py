"""Intervals and comparisons of results, computed once and kept beside the report."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hashattack.benchmark import statistics
from hashattack.benchmark.statistics import interval, p_value
from hashattack.benchmark.store.files import read_json, write_json
from hashattack.reports.runs import Runs

_NAME = ".intervals.json"

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
    Each result is kept under the hashes of what the score jobs stored.
    """

    def __init__(self, runs: Runs, folder: Path) -> None:
        self._runs = runs
        self._path = folder / _NAME
        self._known: dict[str, list[float]] = dict(read_json(self._path) or {})
        self._used: dict[str, list[float]] = {}
        self._values: dict[str, FloatArray] = {}
        self._outputs: dict[str, str] = {}

    def interval(self, scores: Sequence[str]) -> tuple[float, float]:
        """Return the 95 % interval over queries of the mean of some score jobs.

        Args:
            scores: keys; of one attack under several seeds, or on several targets.
        """
        name = self._name("interval", scores)
        if name not in self._used:
            known = self._known.get(name)
            self._used[name] = known or list(interval(self._mean(scores)))
        low, high = self._used[name]
        return low, high

    def p_value(self, scores: Sequence[str], others: Sequence[str]) -> float:
        """Return the paired p-value of two attacks on the same queries."""
        name = self._name("p-value", scores, others)
        if name not in self._used:
            known = self._known.get(name)
            if known is None:
                values, clusters = self._paired(scores, others)
                known = [p_value(values, clusters=clusters)]
            self._used[name] = known
        return self._used[name][0]

    def difference(self, scores: Sequence[str], others: Sequence[str]) -> Difference:
        """Return the first minus the second, on the same queries.

        Args:
            scores: keys; of one attack under some seeds, on some targets.
            others: of another on the same.
        """
        name = self._name("difference", scores, others)
        if name not in self._used:
            known = self._known.get(name)
            if known is None:
                values, clusters = self._paired(scores, others)
                ends = interval(values, clusters=clusters, widest=(-1.0, 1.0))
                known = [float(values.mean()), *ends]
            self._used[name] = known
        mean, low, high = self._used[name]
        return Difference(mean, low, high, self.p_value(scores, others))

    def remember(self) -> None:
        """Keep what was asked for, if any of it is new."""
        if not self._used.items() <= self._known.items():
            write_json(self._path, self._used)

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
        for score in scores:
            if score not in self._values:
                self._values[score] = self._runs.average_precisions(score)
        mean: FloatArray = np.mean([self._values[score] for score in scores], axis=0)
        return mean

    def _output(self, score: str) -> str:
        if score not in self._outputs:
            self._outputs[score] = self._runs.output(score)
        return self._outputs[score]

    def _name(self, what: str, *groups: Sequence[str]) -> str:
        outputs = [sorted(map(self._output, group)) for group in groups]
        return hashlib.sha256(f"{_how()} {what} {outputs}".encode()).hexdigest()[:24]


@functools.cache
def _how() -> str:
    """Return what says how statistics are computed: their sources and library."""
    sources = (Path(str(statistics.__file__)), Path(__file__))
    code = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    return f"{code} scipy {version('scipy')}"
