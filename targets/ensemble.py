"""Several hashers as one, for attacks that are crafted on all of them together.

Its output is that of its members side by side, and so are its hash codes. Minus the mean over bits
of code times output is then the mean over members of their own such losses; where their code
lengths differ, each member weighs by its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hashattack.datasets.texts import TOGETHER
from hashattack.targets.hasher import Hasher, TargetSpec


@dataclass(frozen=True, kw_only=True)
class EnsembleSpec:
    """Which hashers an ensemble has for members."""

    members: tuple[TargetSpec, ...]

    @property
    def name(self) -> str:
        """Its name in tables, like ``DPSH-AlexNet-32+DPSH-VGG11-32``."""
        return TOGETHER.join(one.name for one in self.members)

    @property
    def bits(self) -> int:
        """The length of its members' codes together."""
        return sum(one.bits for one in self.members)


SourceSpec = TargetSpec | EnsembleSpec


class Ensemble(Hasher):
    """Hashers whose outputs ``[n, K_i]`` stand side by side ``[n, sum of K_i]``."""

    def __init__(self, members: Sequence[Hasher]) -> None:
        nn.Module.__init__(self)
        self.members = nn.ModuleList(members)

    @property
    def bits(self) -> int:
        """The length of its members' codes together."""
        return sum(one.bits for one in self._hashers)

    @property
    def trunks(self) -> list[nn.Module]:
        """Its members' networks without hash layers."""
        return [one.trunk for one in self._hashers]

    @property
    def _hashers(self) -> list[Hasher]:
        return [one for one in self.members if isinstance(one, Hasher)]

    def forward(self, images: Tensor, alpha: float = 1.0) -> Tensor:
        """Return the outputs of all members in [-1, 1] of pixels in [0, 1]."""
        return torch.cat([one(images, alpha) for one in self.members], dim=1)
