"""Deep hashing losses, all over a batch's outputs against a memory of the training outputs.

Notation: z ``[n, K]`` tanh outputs of the batch, U ``[N, K]`` the latest outputs
of all training images (detached), S ``[n, N]`` 1 where a label is shared, else 0.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import softplus

from hashattack.targets.backbones import HashInit


@dataclass(frozen=True, kw_only=True)
class HashingMethod(ABC):
    """A hashing loss: a frozen value whose fields are its weights."""

    name: ClassVar[str]
    hash_init: ClassVar[HashInit | None] = None  # None: as the backbone says
    batch_statistics: ClassVar[bool] = False  # whether the loss is more than a mean over the batch

    def scale(self, step: int) -> float:  # noqa: ARG002 - HashNet's grows
        """Return the factor of the logit inside tanh at a 0-based training step."""
        return 1.0

    @abstractmethod
    def loss(self, z: Tensor, memory: Tensor, similar: Tensor) -> Tensor:
        """Return the scalar loss of ``z [n, K]`` against ``memory [N, K]``, ``similar [n, N]``."""


@dataclass(frozen=True, kw_only=True)
class DPSH(HashingMethod):
    """Deep pairwise-supervised hashing: likelihood of the pairs plus weak quantisation.

    L = −Σ(Sθ − log(1 + e^θ)) / (N·n) + eta · Σ(sign z − z)² / (N·n), with θ = ½ z·Uᵀ.
    """

    name: ClassVar[str] = "DPSH"
    eta: float = 50.0

    def loss(self, z: Tensor, memory: Tensor, similar: Tensor) -> Tensor:
        """Return the DPSH loss; the quantisation term is divided by N too, as released."""
        pairs = z.shape[0] * memory.shape[0]
        theta = 0.5 * z @ memory.T  # [n, N]
        likelihood = (similar * theta - softplus(theta)).sum()
        signs = torch.where(z >= 0, 1.0, -1.0).to(z.dtype)
        quantisation = (signs - z).square().sum()
        return (self.eta * quantisation - likelihood) / pairs


@dataclass(frozen=True, kw_only=True)
class DPH(HashingMethod):
    """Deep pairwise hashing: the codes' inner products, scaled to [−1, 1], are regressed.

    L = Σ(z·Uᵀ / K − S)² / (N·n) with S in {−1, +1}; no quantisation term.
    """

    name: ClassVar[str] = "DPH"

    def loss(self, z: Tensor, memory: Tensor, similar: Tensor) -> Tensor:
        """Return the DPH loss."""
        return (z @ memory.T / z.shape[1] - (2 * similar - 1)).square().mean()


@dataclass(frozen=True, kw_only=True)
class HashNet(HashingMethod):
    """HashNet: weighted likelihood of the pairs, and a tanh that grows steeper by continuation.

    ℓ = log(1 + e^{−|d|}) + max(d, 0) − S·d with d = inner · z·Uᵀ; similar pairs weigh
    (S0 + S1)/S1 and others (S0 + S1)/S0, counted in the batch. The logit's factor is
    √(1 + growth · step), renewed every ``renewed`` steps.
    """

    name: ClassVar[str] = "HashNet"
    batch_statistics: ClassVar[bool] = True  # pairs are weighed by their counts
    hash_init: ClassVar[HashInit | None] = "normal"
    inner: float = 0.1
    growth: float = 0.005
    renewed: int = 200

    def scale(self, step: int) -> float:
        """Return the continuation's factor at a 0-based training step: forwards count from 1."""
        forwards = step + 1
        return math.sqrt(1 + self.growth * (forwards - forwards % self.renewed))

    def loss(self, z: Tensor, memory: Tensor, similar: Tensor) -> Tensor:
        """Return the weighted likelihood; a batch without similar pairs weighs only the others."""
        d = self.inner * z @ memory.T  # [n, N]
        loss = softplus(d) - similar * d
        pairs, alike = similar.numel(), similar.sum()
        weights = torch.where(
            similar > 0, pairs / alike.clamp(min=1), pairs / (pairs - alike).clamp(min=1)
        )
        return (weights * loss).sum() / pairs
