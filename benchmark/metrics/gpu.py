"""The same counts on a GPU, by matrix products that are exact.

Codes of -1 and +1 have integer products no larger than K, label rows no larger than C: float32
holds them exactly, TF32 or not, because single bits are exact in any format and sums are float32.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from hashattack.benchmark.metrics.cpu import Counts, Sums

_PAIRS = 1 << 25  # a chunk's, so that memory is bounded whatever the sizes


def rank_on(
    device: torch.device,
    codes: Tensor,
    database: Tensor,
    labels: Tensor,
    database_labels: Tensor,
    *,
    stable: bool,
) -> tuple[Counts, Counts, Sums | None]:
    """Count items and hits at every distance, and sum precisions in database order.

    Args:
        device: where to compute.
        codes: {-1, +1} ``[q, K]``.
        database: {-1, +1} ``[n, K]``.
        labels: {0, 1} ``[S, q, C]``.
        database_labels: {0, 1} ``[n, C]``.
        stable: whether to rank ties in database order, too.

    Returns:
        As ``histograms`` and ``stable_sums`` of ``metrics.cpu``.
    """
    bits = codes.shape[1]
    items, hits, sums = [], [], []
    for distances, shared in _chunks(device, codes, database, labels, database_labels):
        width, rows = bits + 1, len(distances)
        slots = distances + width * torch.arange(rows, device=device)[:, None]
        items.append(torch.bincount(slots.flatten(), minlength=rows * width).view(rows, width))
        hits.append(
            torch.stack(
                [
                    torch.bincount(slots[kind], minlength=rows * width).view(rows, width)
                    for kind in shared
                ]
            )
        )
        if stable:
            order = torch.sort(distances, dim=1, stable=True).indices
            sums.append(torch.stack([_precisions(kind.gather(1, order)) for kind in shared]))
    return (
        _numpy(torch.cat(items)).astype(np.int64),
        _numpy(torch.cat(hits, dim=1)).astype(np.int64),
        _numpy(torch.cat(sums, dim=1)) if stable else None,
    )


def _chunks(
    device: torch.device, codes: Tensor, database: Tensor, labels: Tensor, database_labels: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield distances ``[rows, n]`` and whether a label is shared ``[S, rows, n]``."""
    right = database.to(device, torch.float32).T
    rows_right = database_labels.to(device, torch.float32).T
    size = max(1, _PAIRS // max(1, len(database)))
    for start in range(0, len(codes), size):
        part = slice(start, start + size)
        similar = codes[part].to(device, torch.float32) @ right
        shared = labels[:, part].to(device, torch.float32) @ rows_right
        yield ((codes.shape[1] - similar) / 2).long(), shared > 0


def _precisions(ranked: Tensor) -> Tensor:
    """Return the sum of precisions at the hits of ranked lists ``[rows, n]``, in float64."""
    found = ranked.cumsum(1, dtype=torch.float64)
    ranks = torch.arange(1, ranked.shape[1] + 1, device=ranked.device, dtype=torch.float64)
    return (found / ranks * ranked).sum(1)


def _numpy(values: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return values.cpu().numpy()
