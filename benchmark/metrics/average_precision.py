"""Average precision of Hamming rankings, exact under ties.

Hamming rankings of short codes are full of ties: at 12 bits the order within them can move
t-MAP by twelve points. So the *expected* AP over random tie order is the metric, in closed form
from two histograms per query (McSherry & Najork 2008; He et al., CVPR 2018), and the *stable* AP
(ties in database order) stands beside it for comparison with published numbers. AP at k (``top``)
knows only the first k items of the list: the mean over the relevant ones among them of i / rank_i,
and 0 if there is none. Histograms are ``[q, groups]``, the nearest group first.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from hashattack.benchmark.metrics.rank import Counts, Floats, Matrix, Ranking, rank

Ties = Literal["expected", "stable"]


def mean_average_precision(
    query_codes: Matrix,
    database_codes: Matrix,
    query_labels: Matrix,
    database_labels: Matrix,
    *,
    ties: Ties = "expected",
    top: int | None = None,
    threads: int | None = None,
    device: torch.device | None = None,
) -> float:
    """Return the MAP; with target labels for query labels, t-MAP.

    Args:
        query_codes, database_codes, query_labels, database_labels: see
            :func:`average_precisions`.
        ties: ``expected`` over random tie order, or ``stable``: in database order.
        top: for MAP at k: rank the database, keep the first ``top`` items. Default: all.
        threads: on the CPU. Default: torch's number of threads.
        device: a GPU to compute on. Default: the CPU.

    Raises:
        ValueError: shapes that do not fit, other values, or a ``top`` below 1.

    >>> codes = np.array([[1, 1], [1, -1], [-1, -1]])
    >>> labels = np.array([[1, 0], [0, 1], [1, 0]])
    >>> mean_average_precision(codes[:1], codes, labels[:1], labels)
    0.8333333333333333
    >>> mean_average_precision(codes[:1], codes, labels[:1], labels, top=2)
    1.0
    """
    found = average_precisions(
        query_codes,
        database_codes,
        query_labels,
        database_labels,
        ties=ties,
        top=top,
        threads=threads,
        device=device,
    )
    return float(found.mean())


def average_precisions(
    query_codes: Matrix,
    database_codes: Matrix,
    query_labels: Matrix,
    database_labels: Matrix,
    *,
    ties: Ties = "expected",
    top: int | None = None,
    threads: int | None = None,
    device: torch.device | None = None,
) -> Floats:
    """Return the AP of each query, float64 ``[q]``; the other arguments are as above.

    An item is relevant when it shares a label with the query's row. A query without a relevant
    item (among the first ``top``) has AP 0.

    Args:
        query_codes: {-1, +1} or booleans ``[q, K]``, an array or a tensor.
        database_codes: the same ``[n, K]``.
        query_labels: {0, 1} or booleans ``[q, C]``: own rows for MAP, target rows for t-MAP.
        database_labels: the same ``[n, C]``.
    """
    ranking = rank(
        query_codes,
        database_codes,
        [query_labels],
        database_labels,
        stable=ties == "stable",
        top=top,
        threads=threads,
        device=device,
    )
    hits = ranking.hits[0]
    return stable_ap(ranking)[0] if ties == "stable" else expected_ap(ranking.items, hits, top)


def stable_ap(ranking: Ranking) -> Floats:
    """Return the APs with ties in database order ``[S, q]``, at the ``top`` of the ranking."""
    if ranking.stable_sums is None or ranking.stable_hits is None:
        raise ValueError("the ranking was made without its stable part")
    found: Floats = ranking.stable_sums / np.maximum(ranking.stable_hits, 1)
    return found


def expected_ap(items: Counts, hits: Counts, top: int | None = None) -> Floats:
    """Return the AP (at ``top``) expected over random tie order.

    With n, r the items and relevant items of a group and N, R those before it:
    AP = 1/ΣR · Σ (r/n) · [(R + 1 − k − kN) · (H(N + n) − H(N)) + kn], k = (r − 1)/(n − 1).

    ``top`` takes m = top − N places of the group that it cuts. How many of them are relevant, x, is
    hypergeometric (n, r, m); given x their order is as random as that of a group of m items with x
    relevant ones. So with S the sum over the groups before, and T(x) the term of such a group,
    AP = Σ_x P(x) · (S + T(x)) / (R + x).
    """
    n, r = items.astype(np.float64), hits.astype(np.float64)
    ends = np.cumsum(items, axis=1)
    before_n, before_r = ends - items, _before(hits)
    k = np.where(n > 1, (r - 1) / np.maximum(n - 1, 1), 0.0)
    span = np.diff(_harmonic(items)[ends], axis=1, prepend=0.0)  # H(N + n) − H(N)
    terms = (before_r + 1 - k - k * before_n) * span + k * n
    terms *= r / np.maximum(n, 1)
    found: Floats = np.empty(len(items))
    if top is None or top >= ends[:, -1].max():
        sums, relevant = terms.sum(axis=1), r.sum(axis=1)
        np.divide(sums, np.maximum(relevant, 1), out=found)
        return found
    from hashattack.benchmark.metrics.kernels import expect_cut

    sums = np.where(ends <= top, terms, 0.0).sum(axis=1)
    cut, queries = (ends <= top).sum(axis=1), np.arange(len(items))
    cut_n, cut_r, cut_before_n, cut_before_r = (
        values[queries, cut] for values in (items, hits, before_n, before_r)
    )
    expect_cut(sums, cut_n, cut_r, cut_before_n, cut_before_r, top, found)
    return found


def chance_ap(items: Counts, hits: Counts, top: int | None = None) -> Floats:
    """Return the AP (at ``top``) expected when all codes are equal: the database is one tie."""
    return expected_ap(items.sum(axis=1, keepdims=True), hits.sum(axis=1, keepdims=True), top)


def expected_found(tops: Counts, items: Counts, hits: Counts) -> Floats:
    """Return how many relevant items the first ``tops`` hold, expected over random tie order.

    Args:
        tops: lengths of result lists ``[t]``; one longer than the database takes it whole.
        items, hits: histograms.

    Returns:
        float64 ``[q, t]``.
    """
    before = _before(items)
    found = np.empty((len(items), len(tops)))
    share = np.where(items > 0, hits / np.maximum(items, 1), 0.0)
    for place, top in enumerate(tops):
        found[:, place] = (np.clip(top - before, 0, items) * share).sum(axis=1)
    return found


def curve_tops(n_items: int, points: int = 60) -> Counts:
    """Return lengths of result lists from 1 to the whole database, even on a log scale."""
    tops = np.geomspace(1, n_items, points).round().astype(np.int64)
    return np.unique(tops)


def _before(counts: Counts) -> Counts:
    result: Counts = np.cumsum(counts, axis=1) - counts
    return result


def _harmonic(items: Counts) -> Floats:
    """Return the harmonic numbers from H(0) to that of the size of the database."""
    size = items.sum(axis=1).max(initial=0)
    return np.concatenate([[0.0], np.cumsum(1 / np.arange(1, size + 1))])
