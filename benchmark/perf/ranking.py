"""The ranking against the plain loop, at the sizes of the paper's data sets."""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from hashattack.benchmark.metrics.average_precision import (
    expected_ap,
    mean_average_precision,
    stable_ap,
)
from hashattack.benchmark.metrics.rank import rank
from hashattack.benchmark.perf import plain
from hashattack.benchmark.perf.comparison import Comparison, in_turns, per
from hashattack.datasets.seeds import generator

_LABELS_EACH = 3  # that an image carries on average


@dataclass(frozen=True)
class Case:
    """A data set's sizes, and the speed-ups wanted there."""

    name: str
    queries: int
    database: int
    classes: int
    sampled: int  # queries of the plain loop, whose time does not depend on their number
    bits: int = 32
    expected: float | None = None
    stable: float | None = None
    together: float | None = None


class Problem:
    """Random codes of a trained hasher's unevenness, and sparse labels, as the plain loop wants."""

    def __init__(self, case: Case) -> None:
        draws = generator(0, f"perf/{case.name}")
        lean = draws.uniform(0.3, 0.7, case.bits)  # bits of real hashers are not balanced
        self.codes, self.database = (
            np.where(draws.random((n, case.bits), dtype=np.float32) < lean, 1, -1).astype(np.int8)
            for n in (case.queries, case.database)
        )
        share = _LABELS_EACH / case.classes
        self.targets, self.own, self.labels = (
            (draws.random((n, case.classes), dtype=np.float32) < share).astype(np.uint8)
            for n in (case.queries, case.queries, case.database)
        )

    def expected(self) -> float:
        """Return t-MAP, packing included."""
        return mean_average_precision(self.codes, self.database, self.targets, self.labels)

    def stable(self) -> float:
        """Return stable t-MAP."""
        return mean_average_precision(
            self.codes, self.database, self.targets, self.labels, ties="stable"
        )

    def together(self) -> float:
        """Return the sum of t-MAP and MAP from one pass."""
        found = rank(self.codes, self.database, [self.targets, self.own], self.labels, stable=False)
        return sum(float(expected_ap(found.items, hits).mean()) for hits in found.hits)


def ranking(case: Case, rounds: int) -> Iterator[Comparison]:
    """Yield the comparisons of one data set's size."""
    problem = Problem(case)
    codes, database = (one.astype(np.float32) for one in (problem.codes, problem.database))
    targets, labels = (one.astype(np.int64) for one in (problem.targets, problem.labels))

    def loop() -> list[float]:
        pairs = plain.average_precisions(codes, database, targets, labels)
        return list(islice(pairs, case.sampled))

    facts = {"largest error of the stable AP": _error(problem, loop(), case.sampled)}
    usual = (
        f"one query after the other by NumPy's argsort, integer labels, {case.sampled} of "
        f"{case.queries} queries; its products of codes use all threads, the rest one"
    )
    for ties, ours in (("expected", problem.expected), ("stable", problem.stable)):
        mine, other = in_turns(rounds, ours, loop)
        yield Comparison(
            name=f"ranking, {case.name}, {ties} t-MAP",
            ours="mean_average_precision on all threads, packing included",
            other=usual,
            unit="query",
            kind="speed-up",
            ours_seconds=per(case.queries, mine),
            other_seconds=per(case.sampled, other),
            wanted=case.expected if ties == "expected" else case.stable,
            facts={**facts, "ns a pair": 1e9 * min(mine) / case.queries / case.database},
        )
    mine, other = in_turns(rounds, problem.together, problem.expected)
    yield Comparison(
        name=f"ranking, {case.name}, t-MAP and MAP",
        ours="both from one pass",
        other="t-MAP alone",
        unit="query",
        kind="overhead",
        ours_seconds=per(case.queries, mine),
        other_seconds=per(case.queries, other),
        wanted=case.together,
        facts=_memory(case),
    )


def _error(problem: Problem, usual: list[float], sampled: int) -> float:
    """Return the largest difference to sorting, of the stable AP, for the sampled queries.

    The plain loop's own sort is not stable, so its value is only close: it is checked loosely.
    """
    found = rank(
        problem.codes[:sampled], problem.database, [problem.targets[:sampled]], problem.labels
    )
    ours = stable_ap(found)[0]
    if np.abs(ours - np.array(usual)).max() > 0.2:
        raise AssertionError("the plain loop and the ranking compute different things")
    worst = 0.0
    for code, rows, value in zip(problem.codes, problem.targets, ours, strict=False):
        distances = (code != problem.database).sum(axis=1)
        hits = (rows & problem.labels).any(axis=1)[np.argsort(distances, kind="stable")]
        ranks = np.flatnonzero(hits) + 1
        exact = (np.arange(1, len(ranks) + 1) / ranks).mean() if len(ranks) else 0.0
        worst = max(worst, abs(float(exact - value)))
    return worst


def _memory(case: Case) -> dict[str, float]:
    """Return the most memory that both metrics take on top of their arguments, in GiB."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        extra = pool.apply(_extra_bytes, (case,))
    return {} if extra is None else {"GiB of extra memory": extra / 2**30}


def _extra_bytes(case: Case) -> int | None:
    """Measure in this process; None where the system does not tell."""
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    problem = Problem(case)
    Problem(replace(case, queries=8, database=100)).together()  # compiles
    Problem(replace(case, queries=8, database=100)).stable()
    try:
        reset.write_text("5", encoding="ascii")  # the peak is now what is resident
        before = _peak(status)
        problem.together()
        problem.stable()
        return _peak(status) - before
    except (OSError, AttributeError):
        return None


def _peak(status: Path) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii"))
    assert found is not None
    return 1024 * int(found[1])
