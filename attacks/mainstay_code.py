"""The mainstay code of a label row (SAAT): near what shares a label with it, far from the rest.

With c_i the weight of pool image i, b_i its code: sign(Σ c_i b_i / Σ c_i − mean of b_i over the
images that share no label with the row). SAAT weighs by the cosine of the binary label rows. The
center code of CgAT (https://arxiv.org/abs/2204.10779) has Jaccard weights in the paper and, as its
released code overwrites them, equal ones there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from hashattack.attacks.base import Attack, Knowledge, Pool, TargetCode, attack
from hashattack.attacks.declarations import Cited
from hashattack.attacks.protocols import PoolName, Protocol
from hashattack.datasets.base import IntArray, UInt8Array
from hashattack.targets.hasher import sign_codes

Weights = Literal["equal", "jaccard", "cosine"]

SAAT = Cited(paper="Yuan et al., IEEE TIFS 2023", url="https://arxiv.org/abs/2310.14637")


def mainstay_codes(pool: Pool, labels: UInt8Array, weights: Weights) -> Tensor:
    """Return the mainstay code of each label row ``[n, C]``, int8 ``[n, K]``.

    The mean over an empty set counts as zero: where no image of the pool shares a label with a row
    (an all-zero row among them), its code is the opposite of the pool's majority; where all do, it
    is their majority. A tie is +1.
    """
    unique, inverse = np.unique(labels, axis=0, return_inverse=True)
    codes, known = pool.codes.double(), pool.labels.astype(np.float64)
    sizes = known.sum(axis=1)
    found = []
    for row in unique:  # one at a time: the sums of a row do not depend on the other rows
        shared = known @ row
        whole = {
            "equal": shared,
            "jaccard": sizes + row.sum() - shared,
            "cosine": np.sqrt(sizes * row.sum()),
        }[weights]
        near = shared / np.maximum(whole, 1)
        found.append(_mean(near, codes) - _mean(shared == 0, codes))
    # Rounded, or a tie's sign would depend on the machine.
    return sign_codes(torch.stack(found).round(decimals=9))[torch.from_numpy(inverse.reshape(-1))]


def _mean(weights: IntArray | np.ndarray, codes: Tensor) -> Tensor:
    """Return the weighted mean ``[K]`` of codes ``[N, K]``, zero where all weights are."""
    factors = torch.from_numpy(weights).to(codes)
    return factors @ codes / factors.sum().clamp_min(1e-12)


@dataclass(frozen=True, kw_only=True)
class MainstayCode(TargetCode):
    """The mainstay code of a label row, or its opposite.

    Attributes:
        pool: the images whose codes are averaged.
        weights: of the images that share a label with the row, by labels shared: ``cosine`` over
            the square root of the product of both rows' sizes, ``jaccard`` over the labels of
            either, ``equal`` 1.
        opposite: return the code with all bits flipped, for attacks that move away from it.
    """

    pool: PoolName = "train"
    weights: Weights = "cosine"
    opposite: bool = False

    def codes(
        self,
        knowledge: Knowledge,
        labels: UInt8Array,
        rows: IntArray,  # noqa: ARG002 - a mainstay code belongs to the label row
        seed: int,  # noqa: ARG002 - and nothing is drawn
    ) -> Tensor:
        """Return the mainstay code of each label row, int8 ``[n, K]``."""
        codes = mainstay_codes(knowledge.pool(self.pool), labels, self.weights)
        return -codes if self.opposite else codes


@attack
def mainstay(_: Protocol) -> Attack:
    """The mainstay code itself queries the database: a bound on SAAT."""
    return Attack(
        "mainstay-code",
        "Mainstay code",
        MainstayCode(),
        None,
        None,
        published_policy="unique-disjoint",
        **SAAT,
    )


@attack
def mainstay_opposite(_: Protocol) -> Attack:
    """The opposite of the query's mainstay code: the floor of non-targeted attacks."""
    return Attack(
        "mainstay-opposite",
        "Opposite mainstay code",
        MainstayCode(opposite=True),
        None,
        None,
        "bound",
        goal="non-targeted",
        sees_query_labels=True,
        **SAAT,
    )
