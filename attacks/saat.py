"""The attacks of SAAT: sign steps towards a mainstay code, or away from the query's own.

With s_k = z_k c_k the agreement of output and code at a bit, and w the bits that have not flipped
yet: towards c, −Σ w (2 + s) s / Σ w with w = [s < .5]; away from c, +Σ w (2 + s) s / Σ w with
w = [s > −.5]. The release sums w over the batch; per image it gives the same signs, and no image
depends on the others of its batch.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from hashattack.attacks.base import Attack, attack
from hashattack.attacks.gradient import DHTA_SCHEDULE, ProjectedGradient
from hashattack.attacks.mainstay_code import SAAT, MainstayCode
from hashattack.attacks.protocols import EPSILON, Protocol


@dataclass(frozen=True, kw_only=True)
class SaatGradient(ProjectedGradient):
    """Projected gradient descent on SAAT's loss.

    Attributes:
        away: the target code t is the opposite of the code c to move away from. In s = z t, which
            is −z c, the loss away from c is −Σ w (2 − s) s / Σ w with w = [s < .5].
    """

    away: bool = False

    def loss(self, outputs: Tensor, codes: Tensor) -> Tensor:
        """Return the loss of each image ``[n]``; 0 where every bit has flipped."""
        s = outputs * codes
        unflipped = (s < 0.5).to(s)
        factor = 2 - s if self.away else 2 + s
        return -(unflipped * factor * s).sum(dim=1) / unflipped.sum(dim=1).clamp_min(1)


def _loop(*, away: bool) -> SaatGradient:
    return SaatGradient(
        steps=100,
        rule="sign",
        step_size=1 / 255,
        schedule=DHTA_SCHEDULE,
        random_start=True,
        away=away,
    )


@attack
def saat(_: Protocol) -> Attack:
    """Towards the mainstay code of the target label, by the bits alone that have not flipped."""
    code, loop = MainstayCode(), _loop(away=False)
    return Attack("saat", "SAAT", code, loop, EPSILON, published_policy="unique-disjoint", **SAAT)


@attack
def saat_nontargeted(_: Protocol) -> Attack:
    """Away from the mainstay code of the query's own labels."""
    return Attack(
        "saat-nontargeted",
        "SAAT (non-targeted)",
        MainstayCode(opposite=True),
        _loop(away=True),
        EPSILON,
        goal="non-targeted",
        sees_query_labels=True,
        **SAAT,
    )
