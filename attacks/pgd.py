"""PGD: projected sign steps from a random start."""

from __future__ import annotations

from dataclasses import replace

from hashattack.attacks.base import Attack, attack
from hashattack.attacks.declarations import Cited
from hashattack.attacks.protocols import EPSILON, Protocol
from hashattack.attacks.published import IFGSM, anchor_code

MADRY = Cited(paper="Madry et al., ICLR 2018", url="https://arxiv.org/abs/1706.06083")


@attack
def pgd(protocol: Protocol) -> Attack:
    """Towards the anchor code in 100 sign steps of 1/255 from a random start in the budget."""
    loop = replace(IFGSM, random_start=True)
    return Attack("pgd", "PGD", anchor_code(protocol), loop, EPSILON, **MADRY)
