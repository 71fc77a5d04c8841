"""Deep hashing losses, all over a batch's outputs against a memory of the training outputs.

Notation of the protocol: z ``[n, K]`` tanh outputs of the batch, U ``[N, K]`` the latest outputs
of all training images (detached), S ``[n, N]`` 1 where a label is shared, else 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import softplus

from targets.backbones import HashInit


@dataclass(frozen=True, kw_only=True)
class HashingMethod(ABC):
    """A hashing loss: a frozen value whose fields are its weights."""

    name: ClassVar[str]
    hash_init: ClassVar[HashInit | None] = None  # None: as the backbone says

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
