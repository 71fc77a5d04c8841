"""Target labels: the label row each query shall retrieve, drawn once for all attacks of a run.

The target of query i is a function of (draw seed, policy, i) and of the eligible label rows, so
a longer run extends a shorter one. Policies (the released codes of the field use all four; their
base rates differ by ten points, so every result row names its policy):

* ``unique``: uniform over the database's unique label rows;
* ``frequent``: uniform over those rows that more than ``n_t`` images of the anchor pool carry;
* ``exclude-equal``: ``frequent``, without the query's own label row;
* ``disjoint``: ``frequent``, without every row that shares a label with the query.

The all-zero label row is never a target.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from hashattack.datasets.base import DatasetError, IntArray, UInt8Array
from hashattack.datasets.seeds import generator

Policy = Literal["unique", "frequent", "exclude-equal", "disjoint"]
QUERIES_AT_ONCE = 500  # bounds the memory of what each query may draw


def label_rows(labels: UInt8Array) -> tuple[UInt8Array, IntArray]:
    """Return the unique label rows, sorted, and how many images carry each.

    The all-zero row, which is never a target, is left out.
    """
    rows, counts = np.unique(labels, axis=0, return_counts=True)
    keep = rows.any(axis=1)
    return np.ascontiguousarray(rows[keep], dtype=np.uint8), counts[keep]


def eligible_rows(
    policy: Policy, database_labels: UInt8Array, pool_labels: UInt8Array, n_t: int
) -> UInt8Array:
    """Return the sorted unique label rows that may be targets of any query, uint8 ``[rows, C]``.

    ``pool_labels`` are those of the images that anchor codes of ``n_t`` votes may come from.

    Raises:
        DatasetError: no row is eligible.
    """
    rows, counts = label_rows(database_labels if policy == "unique" else pool_labels)
    keep = counts > (0 if policy == "unique" else n_t)
    if not keep.any():
        largest = int(counts.max(initial=0))
        raise DatasetError(
            f"policy {policy!r} finds no target: no label row is carried by more than "
            f"{n_t} images (the largest group has {largest}); lower n_t or use policy 'unique'"
        )
    return rows[keep]


def allowed_rows(
    policy: Policy, rows: UInt8Array, query_labels: UInt8Array
) -> npt.NDArray[np.bool_]:
    """Return which eligible rows ``[rows, C]`` each query ``[q, C]`` may draw, ``[q, rows]``."""
    if policy in ("unique", "frequent"):
        return np.ones((len(query_labels), len(rows)), dtype=bool)
    shared = query_labels.astype(np.float32) @ rows.T.astype(np.float32)
    if policy == "disjoint":
        return np.asarray(shared == 0)
    own, other = query_labels.sum(axis=1)[:, None], rows.sum(axis=1)[None]
    return np.asarray((shared != own) | (shared != other))


def draw_targets(
    policy: Policy, rows: UInt8Array, query_labels: UInt8Array, *, seed: int
) -> UInt8Array:
    """Draw one of :func:`eligible_rows` for every query, with replacement.

    Only ``exclude-equal`` and ``disjoint`` depend on the queries' own label rows ``[q, C]``.
    Returns uint8 ``[q, C]``, prefix-stable in q.

    Raises:
        DatasetError: a query for which no row is eligible.
    """
    targets = np.empty((len(query_labels), rows.shape[1]), dtype=np.uint8)
    for first in range(0, len(query_labels), QUERIES_AT_ONCE):
        allowed = allowed_rows(policy, rows, query_labels[first : first + QUERIES_AT_ONCE])
        for index, candidates in enumerate(map(np.flatnonzero, allowed), first):
            if not len(candidates):
                raise DatasetError(f"policy {policy!r}: no eligible target label for query {index}")
            pick = generator(seed, f"target/{policy}", index).integers(len(candidates))
            targets[index] = rows[candidates[pick]]
    return targets
