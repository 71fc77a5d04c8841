"""Ranking a database for queries, as far as metrics need it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from hashattack.benchmark.metrics import cpu, gpu
from hashattack.benchmark.metrics.cpu import Counts, Sums
from hashattack.benchmark.metrics.packing import Matrix, check_codes, check_labels, pack

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Ranking:
    """What lies at each Hamming distance of each query.

    Attributes:
        items: database items, int64 ``[q, K + 1]``.
        hits: those that share a label with the query's row, int64 ``[S, q, K + 1]``, one for each
            set of label rows that was asked for.
        stable_sums: sums over hits of the precision at their rank, ties in database order, float64
            ``[S, q]``; None where they were not asked for.
    """

    items: Counts
    hits: Counts
    stable_sums: Sums | None


def rank(
    query_codes: Matrix,
    database_codes: Matrix,
    label_sets: Sequence[Matrix],
    database_labels: Matrix,
    *,
    stable: bool = True,
    threads: int | None = None,
    device: torch.device | None = None,
) -> Ranking:
    """Rank the whole database for every query by Hamming distance.

    Args:
        query_codes: {-1, +1} or booleans ``[q, K]``, an array or a tensor.
        database_codes: the same ``[n, K]``.
        label_sets: for each kind of relevance the queries' rows, {0, 1} or booleans ``[q, C]``.
        database_labels: the same ``[n, C]``.
        stable: whether to rank ties in database order, too: a second pass.
        threads: on the CPU. Default: torch's number of threads.
        device: a GPU to compute on. Default: the CPU.

    Raises:
        ValueError: shapes that do not fit, or other values.
    """
    codes, database = (
        check_codes(query_codes, "query_codes"),
        check_codes(database_codes, "database_codes"),
    )
    sets = [check_labels(rows, "query_labels") for rows in label_sets]
    labels = check_labels(database_labels, "database_labels")
    _check_shapes(codes, database, sets, labels)
    if device is not None and device.type != "cpu":
        return _on_gpu(device, codes, database, sets, labels, stable)
    return _on_cpu(codes, database, sets, labels, stable, threads or torch.get_num_threads())


def _on_cpu(
    codes: Array, database: Array, sets: Sequence[Array], labels: Array, stable: bool, threads: int
) -> Ranking:
    queries, rows = pack(codes), [pack(one) for one in sets]
    near, near_labels = (np.ascontiguousarray(pack(found).T) for found in (database, labels))
    parts = []
    for start in range(0, len(rows), cpu.MOST_KINDS):
        kinds = np.stack(rows[start : start + cpu.MOST_KINDS], axis=1)
        items, hits = cpu.histograms(queries, near, kinds, near_labels, codes.shape[1], threads)
        ranked = (queries, near, kinds, near_labels, items, hits, threads)
        parts.append((items, hits, cpu.stable_sums(*ranked) if stable else None))
    return Ranking(
        parts[0][0],
        np.concatenate([hits for _, hits, _ in parts]),
        np.concatenate([sums for _, _, sums in parts if sums is not None]) if stable else None,
    )


def _on_gpu(
    device: torch.device,
    codes: Array,
    database: Array,
    sets: Sequence[Array],
    labels: Array,
    stable: bool,
) -> Ranking:
    queries, near = (
        2 * torch.from_numpy(signs > 0).to(torch.int8) - 1 for signs in (codes, database)
    )
    rows = torch.from_numpy(np.stack(sets))
    return Ranking(*gpu.rank_on(device, queries, near, rows, torch.tensor(labels), stable=stable))


def _check_shapes(codes: Array, database: Array, sets: Sequence[Array], labels: Array) -> None:
    shapes = {
        "code lengths": {codes.shape[1], database.shape[1]},
        "numbers of queries": {len(codes), *(len(rows) for rows in sets)},
        "database sizes": {len(database), len(labels)},
        "numbers of labels": {labels.shape[1], *(rows.shape[1] for rows in sets)},
    }
    for what, found in shapes.items():
        if len(found) > 1:
            raise ValueError(f"{what} differ: {' and '.join(map(str, sorted(found)))}")
    if not len(database) or not len(codes):
        raise ValueError("the database is empty" if len(codes) else "there are no queries")
    if not sets:
        raise ValueError("no label rows of the queries")
