"""Target labels: the label row each query shall retrieve, drawn once for all attacks of a run.

The target of query i is a function of (draw seed, policy, i) and of the eligible label rows, so
a longer run extends a shorter one. A policy names the rows and the images in which they are
counted; base rates differ by up to 17 points, so every result row names its policy:

* ``frequent``: uniform over the label rows that more than ``n_t`` images of the database carry;
* ``frequent-train``: the same of the training set;
* ``unique``: uniform over the database's unique label rows;
* ``unique-train``: the same of the training set;
* ``unique-disjoint``: ``unique``, without every row that shares a label with the query;
* ``exclude-equal``: ``frequent``, without the query's own label row;
* ``disjoint``: ``frequent``, without every row that shares a label with the query.

Suites also take ``as-published``: every attack draws anew, by the policy that it declares. A
non-targeted attack has ``own``, the query's own label row, in place of any.

The all-zero label row is never a target.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from hashattack.datasets.base import DatasetError, IntArray, UInt8Array
from hashattack.datasets.seeds import generator

Policy = Literal[
    "frequent",
    "frequent-train",
    "unique",
    "unique-train",
    "unique-disjoint",
    "exclude-equal",
    "disjoint",
]
SuitePolicy = Literal[Policy, "as-published"]
Own = Literal["own"]
OWN: Own = "own"
QUERIES_AT_ONCE = 500  # bounds the memory of what each query may draw


def label_rows(labels: UInt8Array) -> tuple[UInt8Array, IntArray]:
    """Return the unique label rows, sorted, and how many images carry each.

    The all-zero row, which is never a target, is left out.
    """
    rows, counts = np.unique(labels, axis=0, return_counts=True)
    keep = rows.any(axis=1)
    return np.ascontiguousarray(rows[keep], dtype=np.uint8), counts[keep]


def eligible_rows(
    policy: Policy, database_labels: UInt8Array, train_labels: UInt8Array, n_t: int
) -> UInt8Array:
    """Return the sorted unique label rows that may be targets of any query, uint8 ``[rows, C]``.

    Raises:
        DatasetError: no row is eligible.
    """
    in_train = policy in ("frequent-train", "unique-train")
    rows, counts = label_rows(train_labels if in_train else database_labels)
    least = 1 if policy.startswith("unique") else n_t + 1
    keep = counts >= least
    if not keep.any():
        split, other = ("training", "unique-train") if in_train else ("database", "unique")
        raise DatasetError(
            f"policy {policy!r} finds no target: no label row is carried by {least} {split} images "
            f"(the largest group has {counts.max(initial=0)}); lower n_t or use policy {other!r}"
        )
    return rows[keep]


def allowed_rows(
    policy: Policy, rows: UInt8Array, query_labels: UInt8Array
) -> npt.NDArray[np.bool_]:
    """Return which eligible rows ``[rows, C]`` each query ``[q, C]`` may draw, ``[q, rows]``."""
    if policy not in ("exclude-equal", "disjoint", "unique-disjoint"):
        return np.ones((len(query_labels), len(rows)), dtype=bool)
    shared = query_labels.astype(np.float32) @ rows.T.astype(np.float32)
    if policy != "exclude-equal":
        return np.asarray(shared == 0)
    own, other = query_labels.sum(axis=1)[:, None], rows.sum(axis=1)[None]
    return np.asarray((shared != own) | (shared != other))


def draw_targets(
    policy: Policy, rows: UInt8Array, query_labels: UInt8Array, *, seed: int, attack: str = ""
) -> UInt8Array:
    """Draw one of :func:`eligible_rows` for every query, with replacement.

    Only ``exclude-equal`` and the disjoint policies depend on the queries' own label rows
    ``[q, C]``. The draw is for all attacks, or for the one with the id ``attack``.
    Returns uint8 ``[q, C]``, prefix-stable in q.

    Raises:
        DatasetError: a query for which no row is eligible.
    """
    targets = np.empty((len(query_labels), rows.shape[1]), dtype=np.uint8)
    purpose = "/".join(filter(None, ("target", policy, attack)))
    for first in range(0, len(query_labels), QUERIES_AT_ONCE):
        allowed = allowed_rows(policy, rows, query_labels[first : first + QUERIES_AT_ONCE])
        for index, candidates in enumerate(map(np.flatnonzero, allowed), first):
            if not len(candidates):
                raise DatasetError(f"policy {policy!r}: no eligible target label for query {index}")
            pick = generator(seed, purpose, index).integers(len(candidates))
            targets[index] = rows[candidates[pick]]
    return targets
