"""Projected gradient descent, of which DHTA's optimiser, FGSM and I-FGSM are settings.

Also the craftings of the attacks Original and Noise.

Loss (DHTA, Eq. 4): L = −Σ over images of the mean over bits of z_a · h. Because it is a sum over
images, no image's gradient depends on the batch it is in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from hashattack.attacks.base import AttackError, Batch, Crafting
from hashattack.attacks.protocols import StepRule
from hashattack.targets.hasher import Hasher

# (end, alpha): alpha holds until that fraction of the steps. DHTA's published schedule for 2,000.
DHTA_SCHEDULE = ((0.5, 0.1), (0.6, 0.2), (0.7, 0.3), (0.8, 0.5), (0.9, 0.7), (1.0, 1.0))
FULL_SLOPE = ((1.0, 1.0),)


@dataclass(frozen=True, kw_only=True)
class Identity(Crafting):
    """The query as it is."""

    needs_code: ClassVar[bool] = False
    needs_hasher: ClassVar[bool] = False

    def perturb(self, batch: Batch, hasher: Hasher, epsilon: float | None) -> Tensor:  # noqa: ARG002
        """Return the images unchanged."""
        return batch.images


@dataclass(frozen=True, kw_only=True)
class UniformNoise(Crafting):
    """Uniform noise in [−epsilon, epsilon], clipped to the pixel range."""

    needs_code: ClassVar[bool] = False
    needs_hasher: ClassVar[bool] = False

    def perturb(self, batch: Batch, hasher: Hasher, epsilon: float | None) -> Tensor:  # noqa: ARG002
        """Return the images plus noise drawn per query."""
        bound = 1.0 if epsilon is None else epsilon
        noise = (2 * batch.uniform("noise") - 1) * bound
        return (batch.images + noise).clamp(0, 1)


@dataclass(frozen=True, kw_only=True)
class ProjectedGradient(Crafting):
    """Projected gradient descent (PGD) on the hashing loss, within the budget.

    Attributes:
        steps: number of gradient steps.
        rule: ``sign``; ``l2`` (gradient over its norm, per image); ``raw/32`` (the plain gradient
            of a batch mean over 32 images, as released).
        step_size: multiplies the direction; pixels for ``sign``, an L2 length for ``l2``.
        schedule: tanh's slope alpha as (end, alpha) in fractions of the steps.

    A variant overrides one hook: :meth:`loss`, :meth:`direction`, or :meth:`directions` where a
    step's direction depends on earlier ones.
    """

    steps: int
    rule: StepRule
    step_size: float = 1.0
    schedule: tuple[tuple[float, float], ...] = FULL_SLOPE

    def __post_init__(self) -> None:
        if self.steps < 1 or self.step_size <= 0:
            raise AttackError(f"steps and step_size must be positive, got {self}")
        if not self.schedule or self.schedule[-1][0] < 1:
            raise AttackError("schedule must end at fraction 1.0")

    @property
    def passes(self) -> int:
        """A forward and a backward pass per step."""
        return 3 * self.steps

    def alpha(self, step: int) -> float:
        """Return the slope of tanh at a 0-based step."""
        # Integer comparison, so that 2,000 steps switch exactly where the published loop does.
        return next(a for end, a in self.schedule if step < round(end * self.steps) or end >= 1)

    def loss(self, outputs: Tensor, codes: Tensor) -> Tensor:
        """Return the loss of each image ``[n]``, of outputs and target codes ``[n, K]``."""
        return -(outputs * codes).mean(dim=1)

    def direction(self, gradient: Tensor) -> Tensor:
        """Return the ascent direction the step goes against, of a gradient ``[n, 3, S, S]``."""
        if self.rule == "sign":
            return gradient.sign()
        if self.rule == "l2":
            norm: Tensor = gradient.flatten(1).norm(dim=1).clamp_min(1e-12)
            gradient = gradient / norm.view(-1, 1, 1, 1)
        return gradient / 32 if self.rule == "raw/32" else gradient

    def directions(self) -> Callable[[Tensor], Tensor]:
        """Return what gives a batch's direction at every step; it may remember earlier ones."""
        return self.direction

    def perturb(self, batch: Batch, hasher: Hasher, epsilon: float | None) -> Tensor:
        """Return images whose perturbation was projected after every step."""
        if batch.codes is None:
            raise AttackError("projected gradient descent needs target codes")
        images, codes = batch.images, batch.codes.to(batch.images)
        delta, direction = torch.zeros_like(images), self.directions()
        for step in range(self.steps):
            delta.requires_grad_(True)
            outputs = hasher(images + delta, alpha=self.alpha(step))
            (gradient,) = torch.autograd.grad(self.loss(outputs, codes).sum(), delta)
            with torch.no_grad():  # in place: fresh memory costs as much as the arithmetic
                delta.sub_(self.step_size * direction(gradient))
                if epsilon is not None:
                    delta.clamp_(-epsilon, epsilon)
                delta.add_(images).clamp_(0, 1).sub_(images)
        return (images + delta.detach()).clamp(0, 1)
