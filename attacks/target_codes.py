"""Rules that name the target code from images carrying the target label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hashattack.attacks.base import AttackError, Knowledge, Pool, TargetCode
from hashattack.attacks.protocols import PoolName
from hashattack.datasets.base import IntArray, UInt8Array
from hashattack.datasets.seeds import generator
from hashattack.targets.hasher import sign_codes


def overlap(labels: UInt8Array, others: UInt8Array) -> npt.NDArray[np.float64]:
    """Return for label rows ``[n, C]`` and others ``[m, C]`` shared labels over all labels of both.

    The Jaccard index, ``[n, m]``; 0 for two empty rows.
    """
    shared = labels.astype(np.int64) @ others.T
    either = labels.sum(axis=1, keepdims=True) + others.sum(axis=1) - shared
    found: npt.NDArray[np.float64] = shared / np.maximum(either, 1)
    return found


def members(pool: Pool, target: UInt8Array) -> IntArray:
    """Return the rows of the pool whose label row equals the target's.

    Where there is none (some ``frequent`` rows of the database are not in the training set), those
    of the nearest label rows, by shared labels over all labels of both.

    Raises:
        AttackError: no image of the pool shares a label with the target.
    """
    rows = np.flatnonzero((pool.labels == target).all(axis=1))
    if len(rows):
        return rows
    (nearness,) = overlap(target[None], pool.labels)
    if not nearness.any():
        shown = np.flatnonzero(target).tolist()
        raise AttackError(
            f"none of the images whose codes may vote carries one of the target labels {shown}; "
            "choose another policy or a larger training set"
        )
    return np.flatnonzero(nearness == nearness.max())


@dataclass(frozen=True, kw_only=True)
class RandomPoint(TargetCode):
    """P2P: the code of one random image of the target label, one draw per query."""

    pool: PoolName

    def codes(self, knowledge: Knowledge, labels: UInt8Array, rows: IntArray, seed: int) -> Tensor:
        """Return one member's code for each query."""
        pool = knowledge.pool(self.pool)
        picks = [
            generator(seed, f"point/{knowledge.source}", int(row)).choice(members(pool, target))
            for row, target in zip(rows, labels, strict=True)
        ]
        return pool.codes[np.array(picks, dtype=np.int64)]


@dataclass(frozen=True, kw_only=True)
class AnchorCode(TargetCode):
    """DHTA: the bitwise majority of the codes of ``n_t`` images of the target label (Eq. 7).

    One draw per (source, target label row, seed), shared by all queries with that target. Without
    replacement, all images vote where there are fewer than ``n_t``.
    """

    pool: PoolName
    replacement: bool
    n_t: int = 9

    def codes(
        self,
        knowledge: Knowledge,
        labels: UInt8Array,
        rows: IntArray,  # noqa: ARG002 - an anchor belongs to the label row, not to the query
        seed: int,
    ) -> Tensor:
        """Return the anchor code of each query's target label row."""
        pool = knowledge.pool(self.pool)
        unique, inverse = np.unique(labels, axis=0, return_inverse=True)
        anchors = torch.stack([self._anchor(knowledge.source, pool, row, seed) for row in unique])
        return anchors[torch.from_numpy(inverse.reshape(-1))]

    def _anchor(self, source: str, pool: Pool, target: UInt8Array, seed: int) -> Tensor:
        candidates = members(pool, target)
        draw = generator(seed, f"anchor/{source}/{target.tobytes().hex()}")
        count = self.n_t if self.replacement else min(self.n_t, len(candidates))
        voters = draw.choice(candidates, count, replace=self.replacement)
        return sign_codes(pool.codes[voters].sum(dim=0, dtype=torch.int64))
