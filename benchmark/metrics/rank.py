"""Ranks a database for queries by Hamming distance and counts what the metrics need.

On the CPU it is XOR, popcount and AND per pair, near the speed of the instructions; several label
rows per query (its own, its target's) are counted in the same pass. On a GPU it is matrix products
that are exact: products of codes of -1 and +1 are integers up to K, those of label rows integers
up to C, and float32 holds them, with TF32 or without, because single bits are exact in any format
and sums are float32. Neither stores anything of the size queries × database.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[Any]
Matrix = Array | Tensor
Words = npt.NDArray[np.uint32]
Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_ROWS = 1 << 16  # checked and packed at a time, so that temporaries stay small
_CHUNK = 128  # queries of a CPU task at most: few enough that threads end together
_KINDS = 2  # label rows per query that a pass on the CPU counts at most
_PAIRS = 1 << 25  # of queries and database items at a time on a GPU


@dataclass(frozen=True)
class Ranking:
    """What is at each Hamming distance of each query.

    Attributes:
        items: database items, int64 ``[q, K + 1]``.
        hits: those that share a label with the query's row, int64 ``[S, q, K + 1]``, for each of
            the S sets of label rows.
        stable_sums: sums over hits of the precision at their rank, ties in database order, float64
            ``[S, q]``; None where they were not requested. With a ``top``, over the hits up to
            that rank.
        stable_hits: how many hits that sum is over, int64 ``[S, q]``.
    """

    items: Counts
    hits: Counts
    stable_sums: Floats | None
    stable_hits: Counts | None


def rank(
    query_codes: Matrix,
    database_codes: Matrix,
    label_sets: Sequence[Matrix],
    database_labels: Matrix,
    *,
    stable: bool = True,
    top: int | None = None,
    threads: int | None = None,
    device: torch.device | None = None,
) -> Ranking:
    """Rank the whole database for every query by Hamming distance.

    Args:
        query_codes: {-1, +1} or booleans ``[q, K]``, an array or a tensor.
        database_codes: the same ``[n, K]``.
        label_sets: for each kind of relevance the queries' rows, {0, 1} or booleans ``[q, C]``.
        database_labels: the same ``[n, C]``.
        stable: also rank ties in database order: a second pass.
        top: the last rank that the stable sums know. Default: the size of the database.
        threads: on the CPU. Default: torch's number of threads.
        device: a GPU to compute on. Default: the CPU.

    Raises:
        ValueError: shapes that do not fit, other values, or a ``top`` below 1.
    """
    codes = _checked(query_codes, (-1, 1), "query_codes")
    database = _checked(database_codes, (-1, 1), "database_codes")
    sets = [_checked(rows, (0, 1), "query_labels") for rows in label_sets]
    labels = _checked(database_labels, (0, 1), "database_labels")
    _check_shapes(codes, database, sets, labels)
    last = len(database) if top is None else top
    if not isinstance(last, int | np.integer) or last < 1:
        raise ValueError(f"top: expected a positive whole number, got {last!r}")
    cut = int(last) if stable else None
    if device is None or device.type == "cpu":
        return _on_cpu(codes, database, sets, labels, cut, threads or torch.get_num_threads())
    return rank_on(device, codes, database, sets, labels, cut)


def _checked(values: Matrix, known: tuple[int, int], name: str) -> Array:
    """Return a matrix of the two known values, or of booleans, as an array."""
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"{name}: expected a matrix [n, bits], got shape {array.shape}")
    if array.dtype != np.bool_:
        low, high = known
        for start in range(0, len(array), _ROWS):
            part = array[start : start + _ROWS]
            if not ((part == low) | (part == high)).all():
                raise ValueError(f"{name}: expected values {low} and {high}, or booleans")
    return array


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


# -- on the CPU --------------------------------------------------------------------------------


def _on_cpu(
    codes: Array,
    database: Array,
    sets: Sequence[Array],
    labels: Array,
    top: int | None,
    threads: int,
) -> Ranking:
    """Rank packed codes and label rows; without a ``top`` there is no stable part."""
    queries, rows = _pack(codes), [_pack(one) for one in sets]
    near, near_labels = (np.ascontiguousarray(_pack(found).T) for found in (database, labels))
    hits, sums, kept = [], [], []
    for start in range(0, len(rows), _KINDS):
        arguments = (queries, near, np.stack(rows[start : start + _KINDS], axis=1), near_labels)
        items, found = _histograms(arguments, codes.shape[1], threads)
        hits.append(found)
        if top is not None:
            added, number = _stable_sums(arguments, items, found, top, threads)
            sums.append(added)
            kept.append(number)
    if top is None:
        return Ranking(items, np.concatenate(hits), None, None)
    return Ranking(items, np.concatenate(hits), np.concatenate(sums), np.concatenate(kept))


def _pack(signs: Array) -> Words:
    """Pack checked codes or label rows ``[n, bits]`` into words ``[n, ceil(bits / 32)]``."""
    count, bits = signs.shape
    packed = np.zeros((count, -(-bits // 32) * 4), dtype=np.uint8)
    for start in range(0, count, _ROWS):
        bytes_ = np.packbits(signs[start : start + _ROWS] > 0, axis=1, bitorder="little")
        packed[start : start + _ROWS, : bytes_.shape[1]] = bytes_
    return packed.view(np.uint32)


# Codes of queries [q, W] and of the database [W, n]; label rows of queries [q, S, L], S 1 or 2,
# and of the database [L, n].
_Packed = tuple[Words, Words, Words, Words]


def _histograms(packed: _Packed, bits: int, threads: int) -> tuple[Counts, Counts]:
    """Return items at each distance ``[q, K + 1]``, and the hits among them ``[S, q, K + 1]``."""
    from hashattack.benchmark.metrics.kernels import (
        count_places,  # numba takes half a second to import
    )

    codes, database, labels, database_labels = packed
    kinds = labels.shape[1]
    counted = np.zeros((len(codes), (bits + 1) << kinds), dtype=np.int64)

    def count(chunk: slice) -> None:
        count_places(codes[chunk], database, labels[chunk], database_labels, counted[chunk])

    _over_chunks(count, len(codes), threads)
    places = counted.reshape(len(codes), bits + 1, *[2] * kinds)  # the last axis is the first kind
    hits = [places.take(1, axis=-1 - kind).reshape(*places.shape[:2], -1) for kind in range(kinds)]
    items = places.reshape(*places.shape[:2], -1).sum(axis=2)
    return items, np.stack([found.sum(axis=2) for found in hits])


def _stable_sums(
    packed: _Packed, items: Counts, hits: Counts, top: int, threads: int
) -> tuple[Floats, Counts]:
    """Return sums of precisions at the hits up to a rank, and how many these are, ``[S, q]``."""
    from hashattack.benchmark.metrics.kernels import sum_precisions

    codes, database, labels, database_labels = packed
    before = (np.cumsum(items, axis=1) - items)[:, None]
    found = (np.cumsum(hits, axis=2) - hits).transpose(1, 0, 2)
    passed = (before + (found << 32)).astype(np.uint64)
    shape = len(codes), labels.shape[1]
    sums, kept = np.zeros(shape), np.zeros(shape, dtype=np.int64)

    def add(chunk: slice) -> None:
        rows = codes[chunk], database, labels[chunk], database_labels
        sum_precisions(*rows, passed[chunk], top, sums[chunk], kept[chunk])

    _over_chunks(add, len(codes), threads)
    return sums.T, kept.T


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


# -- on a GPU ----------------------------------------------------------------------------------


def rank_on(
    device: torch.device,
    codes: Array,
    database: Array,
    sets: Sequence[Array],
    labels: Array,
    top: int | None,
) -> Ranking:
    """Rank checked codes and label rows by matrix products on a device."""
    items, hits, sums, kept = [], [], [], []
    for distances, shared in _chunks(device, codes, database, sets, labels):
        width, rows = codes.shape[1] + 1, len(distances)
        slots = distances + width * torch.arange(rows, device=device)[:, None]
        count = functools.partial(torch.bincount, minlength=rows * width)
        items.append(count(slots.flatten()).view(rows, width))
        hits.append(torch.stack([count(slots[kind]).view(rows, width) for kind in shared]))
        if top is not None:
            order = torch.sort(distances, dim=1, stable=True).indices[:, :top]
            ranked = [kind.gather(1, order) for kind in shared]
            sums.append(torch.stack([_precisions(kind) for kind in ranked]))
            kept.append(torch.stack([kind.sum(1) for kind in ranked]))
    return Ranking(
        torch.cat(items).cpu().numpy().astype(np.int64),
        torch.cat(hits, dim=1).cpu().numpy().astype(np.int64),
        None if top is None else torch.cat(sums, dim=1).cpu().numpy(),
        None if top is None else torch.cat(kept, dim=1).cpu().numpy(),
    )


def _chunks(
    device: torch.device, codes: Array, database: Array, sets: Sequence[Array], labels: Array
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield distances ``[rows, n]`` and whether a label is shared ``[S, rows, n]``."""
    queries, near = (
        2 * torch.from_numpy(signs > 0).to(torch.int8) - 1 for signs in (codes, database)
    )
    rows = torch.from_numpy(np.stack(sets))
    right = near.to(device, torch.float32).T
    rows_right = torch.tensor(labels).to(device, torch.float32).T
    size = max(1, _PAIRS // max(1, len(near)))
    for start in range(0, len(queries), size):
        part = slice(start, start + size)
        similar = queries[part].to(device, torch.float32) @ right
        shared = rows[:, part].to(device, torch.float32) @ rows_right
        yield ((codes.shape[1] - similar) / 2).long(), shared > 0


def _precisions(ranked: Tensor) -> Tensor:
    """Return the sum of precisions at the hits of ranked lists ``[rows, n]``, in float64."""
    found = ranked.cumsum(1, dtype=torch.float64)
    ranks = torch.arange(1, ranked.shape[1] + 1, device=ranked.device, dtype=torch.float64)
    return (found / ranks * ranked).sum(1)
