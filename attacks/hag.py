"""HAG: away from the query's own hash code, which needs no label.

With h the code of the query, m_k = [|z_k − h_k| < 1.5] the bits that have not flipped yet and
M = Σ m: (Σ m z h / M + 1)² + (mean over all bits of m z)².
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hashattack.attacks.base import Attack, Batch, attack
from hashattack.attacks.declarations import Cited
from hashattack.attacks.gradient import DHTA_SCHEDULE, ProjectedGradient
from hashattack.attacks.protocols import EPSILON, Protocol, StepRule
from hashattack.targets.hasher import Hasher, sign_codes

HAG = Cited(
    paper="Yang et al., IEEE Trans. Cybernetics 2020",
    url="https://ieeexplore.ieee.org/document/8573146",
)


@dataclass(frozen=True, kw_only=True)
class HagGradient(ProjectedGradient):
    """Gradient descent on HAG's loss; the code to move to is the opposite of the query's own.

    The release takes 2,000 steps of gradient descent at rate 100 and momentum .9 on the mean over a
    batch of 128, so that its step depends on the batch, and on the short last one. Here every image
    has the step it has in a full batch: rate 100/128 on its own loss.
    """

    needs_code: ClassVar[bool] = False
    steps: int = 2000
    rule: StepRule = "sgd"
    step_size: float = 100 / 128
    schedule: tuple[tuple[float, float], ...] = DHTA_SCHEDULE

    @property
    def passes(self) -> int:
        """Those of the descent, and one for the query's own code."""
        return super().passes + 1

    def loss(self, outputs: Tensor, codes: Tensor) -> Tensor:
        """Return the loss of each image ``[n]``, of outputs and opposite codes ``[n, K]``."""
        unflipped = ((outputs + codes).abs() < 1.5).to(outputs)
        agreement = (unflipped * outputs * codes).sum(dim=1) / unflipped.sum(dim=1).clamp_min(1)
        return (1 - agreement).square() + (unflipped * outputs).mean(dim=1).square()

    def perturb(self, batch: Batch, hasher: Hasher, epsilon: float | None) -> Tensor:
        """Return images moved away from the code of the query as it is."""
        with torch.no_grad():
            codes = -sign_codes(hasher(batch.images))
        return self.descend(batch, codes, hasher, epsilon)


@attack
def hag(_: Protocol) -> Attack:
    """Away from the query's own hash code, without any label."""
    return Attack("hag", "HAG", None, HagGradient(), EPSILON, goal="non-targeted", **HAG)
