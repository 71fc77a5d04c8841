"""THA: a PrototypeNet with the circle loss, then sign steps towards its code.

The prototype of a label row comes from C → 4096 (ReLU) → 512 → K (tanh), which is PrototypeNet with
a class head that stays untrained and unused. It learns the circle loss (Sun et al., CVPR 2020, with
m = 0 and gamma = 1) on cosines s between prototypes and training codes, plus
Σ (sign h − h)² / (1e4 n):

    softplus(log Σ exp((1 − s)²) + log Σ exp([s]₊ s)),

the first sum over pairs that share a label, the second over all others, one factor of each power
taken as constant.

The released code cuts its pairs by ``triu`` out of the matrix of label rows by training images, so
that which pairs count depends on the order of the images. Here all pairs count.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor
from torch.nn.functional import normalize, softplus

from hashattack.attacks.base import Attack, attack
from hashattack.attacks.declarations import Cited
from hashattack.attacks.gradient import DHTA_SCHEDULE
from hashattack.attacks.pros_gan.prototype_net import LearntCode, quantisation
from hashattack.attacks.protocols import EPSILON, Protocol
from hashattack.attacks.published import IFGSM

THA = Cited(paper="Wang et al., SIGIR 2021", url="https://doi.org/10.1145/3404835.3463233")


def circle_loss(prototypes: Tensor, codes: Tensor, similar: Tensor) -> Tensor:
    """Return the circle loss over all pairs of prototypes ``[n, K]`` and codes ``[N, K]``.

    ``similar`` ``[n, N]`` is 1 where they share a label. Without a pair of either kind it is 0.
    """
    cosines = normalize(prototypes) @ normalize(codes).T
    gaps, others = 1 - cosines[similar > 0], cosines[similar == 0]
    near = (gaps.detach().clamp_min(0) * gaps).logsumexp(dim=0)
    far = (others.detach().clamp_min(0) * others).logsumexp(dim=0)
    return softplus(near + far)


@dataclass(frozen=True, kw_only=True)
class ThaCode(LearntCode):
    """THA's prototype code."""

    def loss(
        self, outputs: tuple[Tensor, Tensor, Tensor], labels: Tensor, codes: Tensor, similar: Tensor
    ) -> Tensor:
        """Return the circle loss and the quantisation of a step's outputs."""
        h = outputs[1]
        return circle_loss(h, codes, similar) + quantisation(h) / len(labels)


@attack
def tha(protocol: Protocol) -> Attack:
    """Towards THA's prototype code in 100 sign steps of 1/255."""
    code, loop = ThaCode(prototype_rows=protocol.label_rows), replace(IFGSM, schedule=DHTA_SCHEDULE)
    return Attack("tha", "THA", code, loop, EPSILON, published_policy="unique-disjoint", **THA)
