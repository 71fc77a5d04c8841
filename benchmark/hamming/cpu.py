"""The ranking kernel on the CPU: XOR, popcount and AND a pair, near the speed of memory.

Nothing of the size queries × database is stored. A few queries pass together over the database;
several label rows a query (its own, its target's) are counted in the same pass.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from benchmark.hamming.packing import Words

Counts = npt.NDArray[np.int64]
Sums = npt.NDArray[np.float64]

FIELD = 21  # bits of a counter; a word holds items and two kinds of hits
_GROUP = 8  # queries that pass together
_FULL = (1 << FIELD) - 1
_MOST_ITEMS = _FULL  # of the database at a time, so that no counter runs over
MOST_KINDS = 2


def histograms(
    codes: Words, database: Words, labels: Words, database_labels: Words, bits: int, threads: int
) -> tuple[Counts, Counts]:
    """Count items and hits at every distance.

    Args:
        codes: of the queries ``[q, W]``.
        database: codes ``[n, W]``.
        labels: one or two label rows a query ``[q, S, L]``.
        database_labels: label rows ``[n, L]``.
        bits: of a code, K.
        threads: to run on.

    Returns:
        Items at each distance ``[q, K + 1]``, and those that share a label ``[S, q, K + 1]``.
    """
    from benchmark.hamming.kernels import histogram_kernel  # numba takes half a second to import

    kinds = labels.shape[1]
    kernel = histogram_kernel(codes.shape[1], labels.shape[2], kinds)
    items = np.zeros((len(codes), bits + 1), dtype=np.int64)
    hits = np.zeros((kinds, *items.shape), dtype=np.int64)
    for start in range(0, len(database), _MOST_ITEMS):
        part = slice(start, start + _MOST_ITEMS)
        near, rows = database[part], database_labels[part]

        def count(group: slice, near: Words = near, rows: Words = rows) -> None:
            counted = np.zeros((group.stop - group.start, bits + 1), dtype=np.uint64)
            kernel(codes[group], near, labels[group], rows, counted)
            items[group] += (counted & _FULL).astype(np.int64)
            for kind in range(kinds):
                field = counted >> (FIELD * (kind + 1))
                hits[kind, group] += (field & _FULL).astype(np.int64)

        _over_groups(count, len(codes), threads)
    return items, hits


def stable_sums(
    codes: Words,
    database: Words,
    labels: Words,
    database_labels: Words,
    items: Counts,
    hits: Counts,
    threads: int,
) -> Sums:
    """Sum each query's precision at its hits, ties in database order, as a counting sort does.

    Args:
        codes, database, labels, database_labels: as for :func:`histograms`.
        items, hits: what that counted.
        threads: to run on.

    Returns:
        ``[S, q]``; divided by the number of hits it is the average precision.
    """
    from benchmark.hamming.kernels import stable_kernel

    kernel = stable_kernel(codes.shape[1], labels.shape[2], labels.shape[1])
    before = np.cumsum(items, axis=1) - items
    found = np.ascontiguousarray((np.cumsum(hits, axis=2) - hits).transpose(1, 0, 2))
    sums = np.zeros((len(codes), labels.shape[1]))

    def add(group: slice) -> None:
        kernel(
            codes[group],
            database,
            labels[group],
            database_labels,
            before[group],
            found[group],
            sums[group],
        )

    _over_groups(add, len(codes), threads)
    return sums.T


def _over_groups(work: Callable[[slice], None], count: int, threads: int) -> None:
    groups = [slice(start, min(start + _GROUP, count)) for start in range(0, count, _GROUP)]
    if threads == 1:
        for group in groups:
            work(group)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, groups))
