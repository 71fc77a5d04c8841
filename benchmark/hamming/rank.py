"""Ranking a database for queries, as far as metrics need it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from benchmark.hamming import cpu, gpu
from benchmark.hamming.cpu import Counts, Sums
from benchmark.hamming.packing import Matrix, pack_codes, pack_labels


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
    codes, database = pack_codes(query_codes, "query_codes"), pack_codes(database_codes, "database")
    labels = [pack_labels(rows, "query_labels") for rows in label_sets]
    rows = pack_labels(database_labels, "database_labels")
    _check_shapes(query_codes, database_codes, label_sets, database_labels)
    bits = query_codes.shape[1]
    if device is not None and device.type != "cpu":
        return _on_gpu(device, query_codes, database_codes, label_sets, database_labels, stable)
    threads = threads or torch.get_num_threads()
    parts = []
    for start in range(0, len(labels), cpu.MOST_KINDS):
        kinds = np.stack(labels[start : start + cpu.MOST_KINDS], axis=1)
        items, hits = cpu.histograms(codes, database, kinds, rows, bits, threads)
        sums = (
            cpu.stable_sums(codes, database, kinds, rows, items, hits, threads) if stable else None
        )
        parts.append((items, hits, sums))
    return Ranking(
        parts[0][0],
        np.concatenate([hits for _, hits, _ in parts]),
        np.concatenate([sums for _, _, sums in parts if sums is not None]) if stable else None,
    )


def _on_gpu(
    device: torch.device,
    query_codes: Matrix,
    database_codes: Matrix,
    label_sets: Sequence[Matrix],
    database_labels: Matrix,
    stable: bool,
) -> Ranking:
    codes, database = (
        2 * (torch.as_tensor(signs) > 0).to(torch.int8) - 1
        for signs in (query_codes, database_codes)
    )
    labels = torch.stack([torch.as_tensor(rows) for rows in label_sets])
    rows = torch.as_tensor(database_labels)
    return Ranking(*gpu.rank_on(device, codes, database, labels, rows, stable=stable))


def _check_shapes(
    query_codes: Matrix,
    database_codes: Matrix,
    label_sets: Sequence[Matrix],
    database_labels: Matrix,
) -> None:
    shapes = {
        "code lengths": {query_codes.shape[1], database_codes.shape[1]},
        "numbers of queries": {len(query_codes), *(len(rows) for rows in label_sets)},
        "database sizes": {len(database_codes), len(database_labels)},
        "numbers of labels": {database_labels.shape[1], *(rows.shape[1] for rows in label_sets)},
    }
    for what, found in shapes.items():
        if len(found) > 1:
            raise ValueError(f"{what} differ: {' and '.join(map(str, sorted(found)))}")
    if not len(database_codes):
        raise ValueError("the database is empty")
    if not label_sets:
        raise ValueError("no label rows of the queries")
