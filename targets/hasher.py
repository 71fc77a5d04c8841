"""The target hasher, and how one is made: pixels in [0, 1] in, hash codes out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from hashattack.targets.backbones import Backbone, TargetError
from hashattack.targets.losses import HashingMethod
from hashattack.targets.seeding import seeded

Normalise = Literal["none", "imagenet"]
LONGEST_CODE = 512
NAMED_WEIGHTS = ("imagenet", "labels", "none")
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained; the defaults are the released code's for hashing.

    Attributes:
        optimiser: ``sgd`` or ``adam``.
        epochs: passes over the training images.
        learning_rate: of the first step, or after the warm-up.
        momentum: of ``sgd``; beta 1 of ``adam``.
        weight_decay: of all weights.
        batch: images per step.
        schedule: of the learning rate. ``thirds`` divides it by ten after each third of the
            epochs, counted as the released code does, one epoch late; ``cosine`` warms up for an
            epoch, then falls to zero; ``constant`` keeps it.
    """

    optimiser: Literal["sgd", "adam"] = "sgd"
    epochs: int = 100
    learning_rate: float = 0.05
    momentum: float = 0.0
    weight_decay: float = 1e-5
    batch: int = 32
    schedule: Literal["thirds", "cosine", "constant"] = "thirds"

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1 or self.learning_rate <= 0:
            raise ValueError(f"epochs, batch and learning_rate must be positive, got {self}")

    def rate(self, step: int, steps_per_epoch: int) -> float:
        """Return the learning rate of a 0-based step."""
        epoch, steps = step // steps_per_epoch, self.epochs * steps_per_epoch
        if self.schedule == "thirds":
            period = max(1, self.epochs // 3)
            return float(self.learning_rate * 0.1 ** (max(0, epoch - 1) // period))
        if self.schedule == "cosine":
            warm = min(1.0, (step + 1) / min(steps_per_epoch, max(1, steps // 4)))
            return self.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / steps))
        return self.learning_rate


@dataclass(frozen=True, kw_only=True)
class TargetSpec:
    """A target hasher: hashing method × backbone × code length, and how it is made.

    ``weights`` says where the trunk starts: ``imagenet`` (torchvision's file), ``labels``
    (pretrained on the data set's own labels), ``none`` (random) or ``file`` (a state dict).
    ``defence`` is how it is hardened after training. None is implemented yet: no job makes such a
    hasher, so that no key needs to hold it.
    """

    method: HashingMethod
    backbone: Backbone
    bits: int
    normalise: Normalise = "none"
    weights: str = "imagenet"
    training: Recipe = field(default_factory=Recipe)
    defence: str = field(default="", metadata={"key": False})

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= LONGEST_CODE:
            raise TargetError(f"a code has 1 to {LONGEST_CODE} bits, got {self.bits}")

    @property
    def name(self) -> str:
        """The hasher's name in tables, like ``DPSH-ResNet18-32``, or ``DPH-AlexNet-32-SAAT``."""
        name = f"{self.method.name}-{self.backbone.name}-{self.bits}"
        return f"{name}-{self.defence}" if self.defence else name

    @property
    def unavailable(self) -> str | None:
        """Why there can be no such hasher, or None."""
        if self.defence:
            return f"no defence is implemented, so there is no {self.name}"
        return None

    @property
    def members(self) -> tuple[TargetSpec, ...]:
        """The hashers it consists of: itself alone."""
        return (self,)


class Hasher(nn.Module):
    """A trunk, a hash layer and tanh; the sign of the output is the hash code.

    ``name`` is that of its :class:`TargetSpec`, "" for one without; seeds of fits and messages
    hold it.
    """

    name: str = ""
    scale: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, trunk: nn.Module, width: int, bits: int, normalise: Normalise) -> None:
        super().__init__()
        self.trunk = trunk
        self.hash_layer = nn.Linear(width, bits)
        shift, spread = (_IMAGENET_MEAN, _IMAGENET_STD) if normalise == "imagenet" else ((0,), (1,))
        # Buffers, because a state dict that loses HashNet's scale gives wrong attack gradients.
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("mean", torch.tensor(shift, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(spread, dtype=torch.float32).view(1, -1, 1, 1))

    @property
    def bits(self) -> int:
        """The code length K."""
        return self.hash_layer.out_features

    @property
    def trunks(self) -> list[nn.Module]:
        """Its networks without hash layers."""
        return [self.trunk]

    def logits(self, images: Tensor) -> Tensor:
        """Return the hash layer's outputs ``[n, K]`` of pixels in [0, 1]."""
        logits: Tensor = self.hash_layer(self.trunk((images - self.mean) / self.std))
        return logits

    def forward(self, images: Tensor, alpha: float = 1.0) -> Tensor:
        """Return tanh(alpha · scale · logit) in [-1, 1], ``[n, K]``, of pixels in [0, 1]."""
        return torch.tanh(alpha * self.scale * self.logits(images))


def sign_codes(outputs: Tensor) -> Tensor:
    """Return hash codes in {-1, +1} as int8; sign(0) is +1."""
    return torch.where(outputs >= 0, 1, -1).to(torch.int8)


def build_hasher(spec: TargetSpec, side: int, *, seed: int) -> Hasher:
    """Return the untrained hasher of a spec, its random weights drawn from ``seed``."""
    with seeded(seed, f"init/{spec.name}"):
        trunk, width = spec.backbone.build(side)
        hasher = Hasher(trunk, width, spec.bits, spec.normalise)
        if (spec.method.hash_init or spec.backbone.hash_init) == "normal":
            nn.init.normal_(hasher.hash_layer.weight, 0.0, 0.01)
            nn.init.zeros_(hasher.hash_layer.bias)
    return hasher
