"""Average precision of Hamming rankings, exact under ties.

Hamming rankings of short codes are full of ties: at 12 bits the order within them moves t-MAP by
twelve points. So the *expected* AP over random tie order is the metric, in closed form from two
histograms a query (McSherry & Najork 2008; He et al., CVPR 2018), and the *stable* AP (ties in
database order) stands beside it for comparison with published numbers.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int8]
Labels = npt.NDArray[np.uint8]

_PAIRS_PER_CHUNK = 1 << 23  # bounds memory: about 100 MB of temporaries


def average_precisions(
    query_codes: Codes, database_codes: Codes, query_labels: Labels, database_labels: Labels
) -> dict[str, FloatArray]:
    """Rank the whole database for each query and return per-query metrics.

    An item is relevant when it shares a label with the query's row. A query without a relevant
    item has AP 0 and is counted.

    Args:
        query_codes: {-1, +1} ``[q, K]``.
        database_codes: {-1, +1} ``[n, K]``.
        query_labels: {0, 1} ``[q, C]``: the queries' own rows for MAP, the targets' for t-MAP.
        database_labels: {0, 1} ``[n, C]``.

    Returns:
        float64 ``[q]`` arrays ``expected``, ``stable``, ``chance``, ``precision_at_10`` (expected
        under ties) and ``n_relevant``, and ``found`` ``[q, t]``, the relevant items expected among
        the first :func:`curve_tops` results.
    """
    parts = [
        _chunk_metrics(distances, relevant, query_codes.shape[1])
        for distances, relevant in _chunks(
            query_codes, database_codes, query_labels, database_labels
        )
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _chunk_metrics(
    distances: IntArray, relevant: npt.NDArray[np.bool_], bits: int
) -> dict[str, FloatArray]:
    items, hits = distance_histograms(distances, relevant, bits)
    tops = curve_tops(distances.shape[1])
    return {
        "expected": expected_ap(items, hits),
        "stable": stable_ap(distances, relevant),
        "chance": expected_ap(items.sum(1, keepdims=True), hits.sum(1, keepdims=True)),
        "precision_at_10": expected_found(np.array([10]), items, hits)[:, 0]
        / min(10, distances.shape[1]),
        "n_relevant": hits.sum(axis=1).astype(np.float64),
        "found": expected_found(tops, items, hits),
    }


def _chunks(
    query_codes: Codes, database_codes: Codes, query_labels: Labels, database_labels: Labels
) -> Iterator[tuple[IntArray, npt.NDArray[np.bool_]]]:
    """Yield Hamming distances and relevance ``[rows, n]`` for a few queries at a time."""
    bits = query_codes.shape[1]
    # Small integers are exact in float32, and its matrix product is the fast one.
    database = database_codes.astype(np.float32).T
    labels = database_labels.astype(np.float32).T
    rows = max(1, _PAIRS_PER_CHUNK // max(1, len(database_codes)))
    for start in range(0, len(query_codes), rows):
        part = slice(start, start + rows)
        similarity = query_codes[part].astype(np.float32) @ database
        shared = query_labels[part].astype(np.float32) @ labels
        yield ((bits - similarity) / 2).astype(np.int64), shared > 0


def distance_histograms(
    distances: IntArray, relevant: npt.NDArray[np.bool_], bits: int
) -> tuple[IntArray, IntArray]:
    """Return how many items, and how many relevant ones, lie at each distance, ``[q, K + 1]``."""
    queries = len(distances)
    slots = distances + (bits + 1) * np.arange(queries)[:, None]
    size = queries * (bits + 1)
    items = np.bincount(slots.ravel(), minlength=size)
    hits = np.bincount(slots[relevant], minlength=size)
    return items.reshape(queries, -1), hits.reshape(queries, -1)


def expected_ap(items: IntArray, hits: IntArray) -> FloatArray:
    """Return the AP expected over random tie order, from histograms ``[q, groups]``.

    With n, r the items and relevant items of a group and N, R those before it:
    AP = 1/ΣR · Σ (r/n) · [(R + 1 − k − kN) · (H(N + n) − H(N)) + kn], k = (r − 1)/(n − 1).
    """
    n, r = items.astype(np.float64), hits.astype(np.float64)
    before_n, before_r = np.cumsum(items, axis=1) - items, np.cumsum(hits, axis=1) - hits
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, items.sum(axis=1).max() + 1))])
    span = harmonic[before_n + items] - harmonic[before_n]
    k = np.where(n > 1, (r - 1) / np.maximum(n - 1, 1), 0.0)
    terms = (before_r + 1 - k - k * before_n) * span + k * n
    total = np.where(n > 0, r / np.maximum(n, 1) * terms, 0.0).sum(axis=1)
    relevant = r.sum(axis=1)
    result: FloatArray = np.where(relevant > 0, total / np.maximum(relevant, 1), 0.0)
    return result


def stable_ap(distances: IntArray, relevant: npt.NDArray[np.bool_]) -> FloatArray:
    """Return the AP with ties in database order, ``[q]``."""
    small = distances.astype(np.uint8 if distances.max(initial=0) < 256 else np.uint16)
    order = np.argsort(small, axis=1, kind="stable")  # small integers are sorted by radix
    ranked = np.take_along_axis(relevant, order, axis=1)
    found = np.cumsum(ranked, axis=1)
    precision = found / np.arange(1, ranked.shape[1] + 1)
    total = np.where(ranked, precision, 0.0).sum(axis=1)
    result: FloatArray = total / np.maximum(found[:, -1], 1)
    return result


def expected_found(tops: IntArray, items: IntArray, hits: IntArray) -> FloatArray:
    """Return how many relevant items the first ``tops`` hold, expected over random tie order.

    Args:
        tops: lengths of result lists ``[t]``; one longer than the database takes it whole.
        items, hits: histograms ``[q, groups]``.

    Returns:
        float64 ``[q, t]``.
    """
    before = np.cumsum(items, axis=1) - items
    found = np.empty((len(items), len(tops)))
    share = np.where(items > 0, hits / np.maximum(items, 1), 0.0)
    for place, top in enumerate(tops):
        found[:, place] = (np.clip(top - before, 0, items) * share).sum(axis=1)
    return found


def curve_tops(n_items: int, points: int = 60) -> IntArray:
    """Return lengths of result lists from 1 to the whole database, evenly on a log scale."""
    tops = np.geomspace(1, n_items, points).round().astype(np.int64)
    return np.unique(tops)
