"""Intervals and comparisons of results, computed once and kept beside the report."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmark import statistics
from benchmark.statistics import interval, p_value
from benchmark.storage.store import read_json, write_json
from reports.runs import Runs

_NAME = ".intervals.json"

FloatArray = npt.NDArray[np.float64]


class Uncertainty:
    """Intervals of means of score jobs, and p-values of their differences.

    Each is kept under the hashes of what the score jobs stored.
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
            mine, theirs = self._mean(scores), self._mean(others)
            known = self._known.get(name)
            self._used[name] = known or [p_value(mine - theirs)]
        return self._used[name][0]

    def remember(self) -> None:
        """Keep what was asked for."""
        if self._used != self._known:
            write_json(self._path, self._used)

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
    """Return what says how statistics are computed: their source and library."""
    source = Path(statistics.__file__).read_bytes()
    return f"{hashlib.sha256(source).hexdigest()} scipy {version('scipy')}"
