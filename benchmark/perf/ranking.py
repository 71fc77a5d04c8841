"""The ranking against a plain loop, at the sizes of the paper's data sets."""

from __future__ import annotations

import functools
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from hashattack.benchmark.metrics.average_precision import (
    average_precisions,
    expected_ap,
    mean_average_precision,
)
from hashattack.benchmark.metrics.rank import rank
from hashattack.benchmark.perf.comparison import ROUNDS, Comparison, Size, Way, compare
from hashattack.datasets.seeds import generator

Array = npt.NDArray[Any]
_LABELS_EACH = 3  # that an image carries on average


@dataclass(frozen=True)
class Case:
    """A data set's sizes, and the speed-ups that are aimed at there."""

    name: str
    queries: int
    database: int
    classes: int
    sampled: int  # queries of the plain loop, whose time per query does not depend on their number
    bits: int = 32
    expected: float | None = None
    stable: float | None = None
    together: float | None = None
    top: int = 5000  # of MAP at k
    cut: float | None = None


CASES: dict[Size, tuple[Case, ...]] = {
    "full": (
        Case("FLICKR-25K", 1700, 23_300, 38, sampled=200, expected=60),
        Case("NUS-WIDE", 2100, 193_734, 21, 60, expected=100, stable=30, together=1.3, cut=1.3),
        Case("MS-COCO", 5000, 117_218, 80, 60),
    ),
    "small": (Case("tiny", 40, 3000, 21, sampled=5, top=100),),
}


def ranking(size: Size, device: torch.device) -> Iterator[Comparison]:  # noqa: ARG001 - on the CPU
    """Yield the comparisons of every data set's size."""
    for case in CASES[size]:
        yield from _compared(case, ROUNDS[size])


def _compared(case: Case, rounds: int) -> Iterator[Comparison]:
    """Yield the comparisons on random codes, as uneven as trained ones, and sparse labels."""
    n, count = case.queries, case.sampled
    draws = generator(0, f"perf/{case.name}")
    lean = draws.uniform(0.3, 0.7, case.bits)  # bits of real hashers are not balanced
    codes, database = (
        np.where(draws.random((rows, case.bits), dtype=np.float32) < lean, 1, -1).astype(np.int8)
        for rows in (n, case.database)
    )
    share = _LABELS_EACH / case.classes
    targets, own, labels = (
        (draws.random((rows, case.classes), dtype=np.float32) < share).astype(np.uint8)
        for rows in (n, n, case.database)
    )
    floats = codes[:count].astype(np.float32), database.astype(np.float32)
    plain = functools.partial(
        plain_ap, *floats, targets[:count].astype(np.int64), labels.astype(np.int64)
    )
    expected = functools.partial(mean_average_precision, codes, database, targets, labels)
    stable = functools.partial(average_precisions, codes, database, targets, labels, ties="stable")

    def together() -> float:
        found = rank(codes, database, [targets, own], labels, stable=False)
        return sum(float(expected_ap(found.items, hits).mean()) for hits in found.hits)

    usual = Way(
        "one query after the other by NumPy's argsort, integer labels, "
        f"{count} of {n} queries; its products of codes use all threads, the rest one",
        plain,
        count,
    )
    error = float(np.abs(stable()[:count] - plain(sort="stable")).max())
    cut_error = np.abs(stable(top=case.top)[:count] - plain(sort="stable", top=case.top)).max()
    first = f"the first {case.top} items"
    for ties, run, aim in (("expected", expected, case.expected), ("stable", stable, case.stable)):
        ours = Way("mean_average_precision on all threads, packing included", run, n)
        name = f"ranking, {case.name}, {ties} t-MAP"
        one = compare(name, ours, usual, rounds, "query", "speed-up", aim)
        pair = 1e9 * min(one.ours_seconds) / case.database
        facts = {"largest error of the stable AP": error, "ns a pair": pair}
        yield replace(one, facts=facts)
        cut, whole = Way(first, functools.partial(run, top=case.top), n), Way("all items", run, n)
        name = f"ranking, {case.name}, {ties} t-MAP@{case.top} over t-MAP"
        one = compare(name, cut, whole, rounds, "query", "overhead", case.cut)
        yield replace(one, facts={"largest error of the stable AP": float(cut_error)})
    both, alone = Way("both from one pass", together, n), Way("t-MAP alone", expected, n)
    name = f"ranking, {case.name}, t-MAP and MAP"
    one = compare(name, both, alone, rounds, "query", "overhead", case.together)
    tracemalloc.start()
    try:
        together()
        stable()
        extra = tracemalloc.get_traced_memory()[1]  # on top of the arguments
    finally:
        tracemalloc.stop()
    yield replace(one, facts={"GiB of extra memory": extra / 2**30})


def plain_ap(
    query_codes: Array,
    database_codes: Array,
    query_labels: Array,
    database_labels: Array,
    sort: Literal["quicksort", "stable"] = "quicksort",
    top: int | None = None,
) -> list[float]:
    """Return the AP of one query after the other, ties in the order that the sort leaves.

    Args:
        query_codes, database_codes: float32 {-1, +1} ``[q, K]`` and ``[n, K]``.
        query_labels, database_labels: integers {0, 1} ``[q, C]`` and ``[n, C]``.
        sort: NumPy's kind of sort.
        top: how many items of the ranked list to keep; None for all.
    """
    bits, found = query_codes.shape[1], []
    for code, labels in zip(query_codes, query_labels, strict=True):
        relevant = (labels @ database_labels.T) > 0
        order = np.argsort(0.5 * (bits - code @ database_codes.T), kind=sort)
        ranks = np.flatnonzero(relevant[order[:top]]) + 1
        found.append(float((np.arange(1, len(ranks) + 1) / ranks).mean()) if len(ranks) else 0.0)
    return found
