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
from hashattack.attacks.gradient_transforms import Moment
from hashattack.attacks.optimisers import adam, sgd
from hashattack.attacks.protocols import StepRule
from hashattack.attacks.transfer import TransferHooks
from hashattack.targets.hasher import Hasher

# (end, alpha): alpha holds until that fraction of the steps. DHTA's published schedule for 2,000.
DHTA_SCHEDULE = ((0.5, 0.1), (0.6, 0.2), (0.7, 0.3), (0.8, 0.5), (0.9, 0.7), (1.0, 1.0))
FULL_SLOPE = ((1.0, 1.0),)


def hashing_loss(outputs: Tensor, codes: Tensor) -> Tensor:
    """Return DHTA's loss of each image ``[n]``, of outputs and target codes ``[n, K]``."""
    return -(outputs * codes).mean(dim=1)


def slope(schedule: tuple[tuple[float, float], ...], step: int, steps: int) -> float:
    """Return a schedule's alpha at a 0-based step of so many."""
    # Integer comparison, so that 2,000 steps switch exactly where the published loop does.
    return next(alpha for end, alpha in schedule if step < round(end * steps) or end >= 1)


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
class ProjectedGradient(TransferHooks, Crafting):
    """Projected gradient descent (PGD) on the hashing loss, within the budget.

    Its other settings, which are off, make images transfer better.

    Attributes:
        steps: number of gradient steps.
        rule: ``sign``; ``l2`` (gradient over its norm, per image); ``raw/32`` (the plain gradient
            of a batch mean over 32 images, as released); ``sgd`` (the sum of all gradients so far,
            each step's weight falling to .9 at the next); ``adam``.
        step_size: multiplies the direction; pixels for ``sign`` and, about, ``adam``, an L2 length
            for ``l2``.
        schedule: tanh's slope alpha as (end, alpha) in fractions of the steps.
        random_start: whether it starts at a uniform draw from the budget, or at the image itself.
        restarts: how often it starts; of each query the image with the lowest :meth:`aim` is kept.

    A variant overrides one hook: :meth:`loss`, :meth:`direction`, :meth:`directions` where a
    step's direction depends on earlier ones, :meth:`gradient` where the loss is of more than the
    hasher's outputs, or :meth:`perturb` where other codes than the target codes go into the loss.
    """

    steps: int
    rule: StepRule
    step_size: float = 1.0
    schedule: tuple[tuple[float, float], ...] = FULL_SLOPE
    random_start: bool = False
    restarts: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < 1 or self.step_size <= 0:
            raise AttackError(f"steps and step_size must be positive, got {self}")
        if not self.schedule or self.schedule[-1][0] < 1:
            raise AttackError("schedule must end at fraction 1.0")
        if self.restarts < 1 or (self.restarts > 1 and not self.random_start):
            raise AttackError(
                "restarts must be positive, and more than one needs random_start: true, got "
                f"restarts {self.restarts}"
            )

    @property
    def passes(self) -> int:
        """A forward and a backward pass per gradient, and a forward pass to choose a restart."""
        chosen = 1 if self.restarts > 1 else 0
        return self.restarts * (2 * self.steps * self.gradients_per_step + chosen)

    def alpha(self, step: int) -> float:
        """Return the slope of tanh at a 0-based step."""
        return slope(self.schedule, step, self.steps)

    def loss(self, outputs: Tensor, codes: Tensor) -> Tensor:
        """Return the loss of each image ``[n]``, of outputs and target codes ``[n, K]``."""
        return hashing_loss(outputs, codes)

    def aim(self, outputs: Tensor, codes: Tensor) -> Tensor:
        """Return by what a restart is chosen, lower is better, ``[n]``.

        Not by :meth:`loss`: one that leaves out the bits that have flipped is higher after more
        flips.
        """
        return hashing_loss(outputs, codes)

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
        if self.rule == "sgd":
            return sgd(momentum=0.9)
        return adam() if self.rule == "adam" else self.direction

    def gradient(
        self, delta: Tensor, moment: Moment, batch: Batch, codes: Tensor, hasher: Hasher
    ) -> Tensor:
        """Return the loss's gradient at a perturbation, both ``[n, 3, S, S]``.

        What a step goes against is made of such gradients by the transfer settings.
        """
        leaf, alpha = delta.detach().requires_grad_(), self.alpha(moment.step)
        gradients = []
        for view in self.views(batch.images + leaf, batch, moment):
            loss = self.loss(hasher(view, alpha=alpha), codes).sum()
            gradients.append(torch.autograd.grad(loss, leaf)[0])
        return sum(gradients[1:], start=gradients[0]) / len(gradients)

    def perturb(self, batch: Batch, hasher: Hasher, epsilon: float | None) -> Tensor:
        """Return images moved towards the target codes."""
        if batch.codes is None:
            raise AttackError("projected gradient descent needs target codes")
        return self.descend(batch, batch.codes, hasher, epsilon)

    def descend(self, batch: Batch, codes: Tensor, hasher: Hasher, epsilon: float | None) -> Tensor:
        """Return images of low loss, of each query the best of all restarts.

        ``codes`` are what :meth:`loss` and :meth:`aim` get of each query, ``[n, K]`` or
        ``[n, ...]``.
        """
        codes = codes.to(batch.images)
        tries = [self._once(batch, codes, hasher, epsilon, one) for one in range(self.restarts)]
        if len(tries) == 1:
            return tries[0]
        alpha = self.alpha(self.steps - 1)
        with torch.no_grad():
            aims = torch.stack([self.aim(hasher(one, alpha=alpha), codes) for one in tries])
        best = aims.argmin(dim=0)  # [n]
        return torch.stack(tries)[best, torch.arange(len(best), device=best.device)]

    def _once(
        self, batch: Batch, codes: Tensor, hasher: Hasher, epsilon: float | None, restart: int
    ) -> Tensor:
        """Return images whose perturbation was projected after every step."""
        images, delta = batch.images, self._start(batch, epsilon, restart)

        def raw(delta: Tensor, moment: Moment) -> Tensor:
            return self.gradient(delta, moment, batch, codes, hasher)

        gradient_at = self.transferable(raw, batch, epsilon, self.step_size)
        direction = self.directions()
        for step in range(self.steps):
            gradient = gradient_at(delta, Moment(restart, step))
            with torch.no_grad():  # in place: fresh memory costs as much as the arithmetic
                delta.sub_(self.step_size * direction(gradient))
                if epsilon is not None:
                    delta.clamp_(-epsilon, epsilon)
                delta.add_(images).clamp_(0, 1).sub_(images)
        return (images + delta).clamp(0, 1)

    def _start(self, batch: Batch, epsilon: float | None, restart: int) -> Tensor:
        if not self.random_start:
            return torch.zeros_like(batch.images)
        noise = 2 * batch.uniform(f"start/{restart}") - 1
        noise *= 1.0 if epsilon is None else epsilon
        return (batch.images + noise).clamp(0, 1) - batch.images
