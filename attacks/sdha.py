"""SDHA: away from the codes of all images that share a label with the query, or towards a target's.

With R the codes of training images that share a label with the row, d_r the Hamming distance of the
output's code from r, σ the logistic function and a bit-wise substitute of that distance, it lowers
the mean squared error of the pixels plus 25 / K times

* away (non-targeted): −mean over R of (d_r + 1e-8)^−.5 Σ_k [½ |z − r| σ(5 z r) + 1 − σ(5 z r)];
* towards: mean over R of (d_r + 1e-8)^.3 Σ_k ½ |z − r| σ(−10 z r).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from hashattack.attacks.base import Attack, AttackError, Batch, Knowledge, Perturb, attack
from hashattack.attacks.declarations import Cited
from hashattack.attacks.gradient import DHTA_SCHEDULE, ProjectedGradient
from hashattack.attacks.gradient_transforms import Moment
from hashattack.attacks.protocols import EPSILON, Protocol, StepRule
from hashattack.datasets.seeds import generator
from hashattack.targets.hasher import Hasher, sign_codes

SDHA = Cited(paper="Lu et al., ICMR 2021", url="https://dl.acm.org/doi/10.1145/3460426.3463640")
_WEIGHT = 25.0


def bit_losses(outputs: Tensor, bit: int, *, away: bool) -> Tensor:
    """Return the term of each bit ``[n, K]`` where that of the relevant code is -1 or +1."""
    agreement, distance = outputs * bit, (outputs - bit).abs() / 2
    if not away:
        return distance * torch.sigmoid(-10 * agreement)
    same = torch.sigmoid(5 * agreement)
    return -(distance * same + 1 - same)


@dataclass(frozen=True, kw_only=True)
class SdhaGradient(ProjectedGradient):
    """Adam on SDHA's loss, projected into the budget.

    Attributes:
        away: whether the relevant codes are those of the query to move away from, or a target's.
        most: relevant codes of a query at most; where more images share a label with its row, a
            draw of so many, per (seed, query). Where none does, the query stays as it is.
    """

    needs_code: ClassVar[bool] = False
    steps: int = 1500
    rule: StepRule = "adam"
    step_size: float = 0.01
    schedule: tuple[tuple[float, float], ...] = DHTA_SCHEDULE
    away: bool = False
    most: int = 2000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.most < 1:
            raise AttackError(f"most must be positive, got {self.most}")

    def ready(self, knowledge: Knowledge, epsilon: float | None) -> Perturb:
        """Return the function that finds the relevant codes of a batch and descends."""

        def perturb(batch: Batch) -> Tensor:
            return self.descend(batch, self._relevant(batch, knowledge), knowledge.hasher, epsilon)

        return perturb

    def _relevant(self, batch: Batch, knowledge: Knowledge) -> Tensor:
        """Return the relevant codes of each query ``[n, M, K]``, shorter lists filled with 0."""
        labels = batch.labels.cpu().numpy().astype(int)
        found = []
        for row, shared in zip(batch.rows, labels @ knowledge.train.labels.T > 0, strict=True):
            members = np.flatnonzero(shared)
            if len(members) > self.most:
                draw = generator(batch.seed, f"sdha/{knowledge.source}", int(row))
                members = draw.choice(members, self.most, replace=False)
            found.append(knowledge.train.codes[torch.from_numpy(members)])
        return torch.nn.utils.rnn.pad_sequence(found, batch_first=True)

    def loss(self, outputs: Tensor, codes: Tensor) -> Tensor:
        """Return 25 / K times the loss of each image ``[n]`` for its codes ``[n, M, K]``."""
        bits = outputs.shape[1]
        own = sign_codes(outputs).to(codes)
        distances = (bits - torch.einsum("nmk,nk->nm", codes, own)) / 2
        relevant = codes[:, :, 0] != 0
        weights = (distances + 1e-8) ** (-0.5 if self.away else 0.3) * relevant
        # A term depends on the code's bit alone: the weights of +1 and of -1 are enough.
        total, balance = (
            weights.sum(dim=1, keepdim=True),
            torch.einsum("nmk,nm->nk", codes, weights),
        )
        plus, minus = (bit_losses(outputs, bit, away=self.away) for bit in (1, -1))
        summed = ((total + balance) * plus + (total - balance) * minus).sum(dim=1) / 2
        return _WEIGHT / bits * summed / relevant.sum(dim=1).clamp_min(1)

    def aim(self, outputs: Tensor, codes: Tensor) -> Tensor:
        """Return the mean over the relevant codes of minus their products with the outputs."""
        counts = (codes[:, :, 0] != 0).sum(dim=1).clamp_min(1)
        agreement = (outputs * (codes.sum(dim=1) / counts.unsqueeze(1))).mean(dim=1)
        return agreement if self.away else -agreement

    def gradient(
        self, delta: Tensor, moment: Moment, batch: Batch, codes: Tensor, hasher: Hasher
    ) -> Tensor:
        """Return the gradient of that loss and of the pixels' mean squared error."""
        hashing = super().gradient(delta, moment, batch, codes, hasher)
        return hashing + 2 * delta / delta[0].numel()


@attack
def sdha(_: Protocol) -> Attack:
    """Towards the codes of all training images that share a label with the target."""
    loop = SdhaGradient()
    return Attack("sdha", "SDHA", None, loop, EPSILON, published_policy="unique-disjoint", **SDHA)


@attack
def sdha_nontargeted(_: Protocol) -> Attack:
    """Away from the codes of all training images that share a label with the query."""
    return Attack(
        "sdha-nontargeted",
        "SDHA (non-targeted)",
        None,
        SdhaGradient(away=True),
        EPSILON,
        goal="non-targeted",
        sees_query_labels=True,
        **SDHA,
    )
