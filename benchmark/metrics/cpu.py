"""The ranking on the CPU: XOR, popcount and AND a pair, near the speed of the instructions.

Nothing of the size queries × database is stored. Several label rows a query (its own, its
target's) are counted in the same pass.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from hashattack.benchmark.metrics.packing import Words

Counts = npt.NDArray[np.int64]
Sums = npt.NDArray[np.float64]

_CHUNK = 128  # queries of a task at most: few enough that threads end together
MOST_KINDS = 2


def histograms(
    codes: Words, database: Words, labels: Words, database_labels: Words, bits: int, threads: int
) -> tuple[Counts, Counts]:
    """Count items and hits at every distance.

    Args:
        codes: of the queries ``[q, W]``.
        database: codes, word by word ``[W, n]``.
        labels: one or two label rows a query ``[q, S, L]``.
        database_labels: label rows, word by word ``[L, n]``.
        bits: of a code, K.
        threads: to run on.

    Returns:
        Items at each distance ``[q, K + 1]``, and those that share a label ``[S, q, K + 1]``.
    """
    from hashattack.benchmark.metrics.kernels import (
        count_places,  # numba takes half a second to import
    )

    kinds = labels.shape[1]
    counted = np.zeros((len(codes), (bits + 1) << kinds), dtype=np.int64)

    def count(chunk: slice) -> None:
        count_places(codes[chunk], database, labels[chunk], database_labels, counted[chunk])

    _over_chunks(count, len(codes), threads)
    places = counted.reshape(len(codes), bits + 1, *[2] * kinds)  # the last axis is the first kind
    hits = [places.take(1, axis=-1 - kind).reshape(*places.shape[:2], -1) for kind in range(kinds)]
    items = places.reshape(*places.shape[:2], -1).sum(axis=2)
    return items, np.stack([found.sum(axis=2) for found in hits])


def stable_sums(
    codes: Words,
    database: Words,
    labels: Words,
    database_labels: Words,
    items: Counts,
    hits: Counts,
    threads: int,
) -> Sums:
    """Sum each query's precision at its hits, ties in database order.

    Args:
        codes, database, labels, database_labels: as for :func:`histograms`.
        items, hits: what that counted.
        threads: to run on.

    Returns:
        ``[S, q]``; divided by the number of hits it is the average precision.
    """
    from hashattack.benchmark.metrics.kernels import sum_precisions

    before = (np.cumsum(items, axis=1) - items)[:, None]
    found = (np.cumsum(hits, axis=2) - hits).transpose(1, 0, 2)
    passed = (before + (found << 32)).astype(np.uint64)
    sums = np.zeros((len(codes), labels.shape[1]))

    def add(chunk: slice) -> None:
        sum_precisions(
            codes[chunk],
            database,
            labels[chunk],
            database_labels,
            passed[chunk],
            sums[chunk],
        )

    _over_chunks(add, len(codes), threads)
    return sums.T


def _over_chunks(work: Callable[[slice], None], count: int, threads: int) -> None:
    share = -(-count // (4 * threads)) * 4  # groups of four pass together
    size = min(_CHUNK, share)
    chunks = [slice(start, min(start + size, count)) for start in range(0, count, size)]
    if threads == 1:
        for chunk in chunks:
            work(chunk)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, chunks))
