"""The anchor code of TTA-GAN ("IAO"): one code optimised against all codes of the training images.

With a = tanh(alpha · l), l ~ N(0, 1), w_j = a · b_j / K, P the images that share a label with the
row and N the others, Adam lowers log Σ_P exp(−(2 − w) w) + log Σ_N exp((2 + w) w), the factors in
brackets taken as constants. The code is the sign of a.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hashattack.attacks.base import Attack, AttackError, Knowledge, TargetCode, attack
from hashattack.attacks.declarations import Cited
from hashattack.attacks.gradient import DHTA_SCHEDULE, slope
from hashattack.attacks.optimisers import adam
from hashattack.attacks.protocols import PoolName, Protocol
from hashattack.datasets.base import IntArray, UInt8Array
from hashattack.datasets.seeds import generator
from hashattack.targets.hasher import sign_codes

TTA_GAN = Cited(paper="Zhu et al., MMAsia 2023", url="")
_ROWS_AT_ONCE = 64  # bounds the memory, [rows, N] in float64


def iao_loss(anchors: Tensor, codes: Tensor, similar: Tensor) -> Tensor:
    """Return the loss ``[n]`` of anchors ``[n, K]`` against codes ``[N, K]``.

    ``similar`` is bool ``[n, N]``; the sum over an empty set of codes is left out.
    """
    w = anchors @ codes.T / codes.shape[1]  # in [-1, 1]: no exponential is large
    powers = (torch.where(similar, w.detach() - 2, w.detach() + 2) * w).exp()
    near, far = (powers * similar).sum(dim=1), (powers * ~similar).sum(dim=1)
    # 1 for an empty sum, whose logarithm has no gradient.
    sums = torch.stack([near.where(near > 0, 1), far.where(far > 0, 1)])
    return sums.log().sum(dim=0)


@dataclass(frozen=True, kw_only=True)
class IaoCode(TargetCode):
    """The anchor code of a label row, one draw per (source, label row, seed).

    Attributes:
        pool: the images whose codes it is optimised against.
        steps: of Adam.
        rate: of Adam.
    """

    pool: PoolName = "train"
    steps: int = 1000
    rate: float = 1.0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.rate <= 0:
            raise AttackError(f"steps and rate must be positive, got {self}")

    def codes(
        self,
        knowledge: Knowledge,
        labels: UInt8Array,
        rows: IntArray,  # noqa: ARG002 - an anchor belongs to the label row, not to the query
        seed: int,
    ) -> Tensor:
        """Return the anchor code of each query's label row, int8 ``[n, K]``."""
        unique, inverse = np.unique(labels, axis=0, return_inverse=True)
        starts = range(0, len(unique), _ROWS_AT_ONCE)
        found = [
            self._anchors(knowledge, unique[start : start + _ROWS_AT_ONCE], seed)
            for start in starts
        ]
        return torch.cat(found)[torch.from_numpy(inverse.reshape(-1))]

    def _anchors(self, knowledge: Knowledge, unique: UInt8Array, seed: int) -> Tensor:
        pool = knowledge.pool(self.pool)
        codes = pool.codes.double()
        similar = torch.from_numpy(unique.astype(int) @ pool.labels.T > 0).to(codes.device)
        purposes = [f"iao/{knowledge.source}/{row.tobytes().hex()}" for row in unique]
        draws = np.stack([generator(seed, one).normal(size=codes.shape[1]) for one in purposes])
        logits, direction = torch.from_numpy(draws).to(codes).requires_grad_(), adam()
        for step in range(self.steps):
            anchors = torch.tanh(slope(DHTA_SCHEDULE, step, self.steps) * logits)
            # A sum, so that no row's gradient depends on the others.
            (gradient,) = torch.autograd.grad(iao_loss(anchors, codes, similar).sum(), logits)
            logits.data.sub_(self.rate * direction(gradient))
        return sign_codes(logits.detach())


@attack
def iao(_: Protocol) -> Attack:
    """The code optimised against all training codes itself queries the database."""
    return Attack("iao-code", "IAO code", IaoCode(), None, None, **TTA_GAN)
