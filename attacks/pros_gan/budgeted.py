"""A generator within a budget, beyond the paper: it also sees the hasher's gradient.

Within 8/255 a generator alone hardly moves a code. This one is a learnt optimiser of one or two
gradient steps. The label decoder's image is the first guess, one for all queries of a target label;
a gradient step takes the sign of the hashing loss's gradient at the image of the guess, and the
body turns guess, query and gradient into the next guess.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from hashattack.attacks.base import AttackError
from hashattack.attacks.pros_gan.crafting import Craft, GeneratorCrafting, hash_loss
from hashattack.attacks.pros_gan.networks import GeneratorNetwork
from hashattack.attacks.pros_gan.training import (
    Objective,
    Step,
    TargetDraw,
    TrainingBatch,
    TrainingData,
)
from hashattack.targets.hasher import Hasher

_GAIN = 2.0  # of the output's tanh: one sign of the gradient alone reaches .96 of the budget
_SLOPE = 0.3  # of the hasher's tanh: gradients live where codes saturate
_LABEL_ALONE = 1 / 3  # of the epochs: the first guess is trained alone before the rest


class GradientGuidedGenerator(GeneratorNetwork):
    """From semantics, images and gradients to perturbations before their tanh."""

    def __init__(self, side: int, width: int) -> None:
        super().__init__(side, width, channels=9)
        with torch.no_grad():
            self.last.weight *= 0.1  # begin near the plain gradient step

    def forward(
        self,
        semantic: Tensor,
        images: Tensor,
        gradient_sign: Callable[[Tensor], Tensor],
        steps: int,
    ) -> list[Tensor]:
        """Return the output before and after each step, ``[n, 3, S, S]``, for images in [−1, 1].

        ``gradient_sign`` maps an output to the sign of the gradient at its image.
        """
        outputs = [self.decode(semantic, images)]
        for _ in range(steps):
            guess = outputs[-1]
            guide = gradient_sign(guess)
            x = self.body(torch.cat([guess, images, guide], dim=1))
            outputs.append(guess + guide + self.last(torch.cat([x, images], dim=1)))
        return outputs


class Budgeted(Objective):
    """The objective within ``epsilon``: the hash loss alone, without discriminator."""

    def __init__(
        self, generator: nn.Module, hasher: Hasher, epsilon: float | None, settings: BudgetedProsGan
    ) -> None:
        if epsilon is None:
            raise AttackError("a budgeted generator needs an epsilon")
        self.networks = {"G": generator}
        self.hasher, self.epsilon = hasher, epsilon
        self.gradient_steps = settings.gradient_steps
        self.settings = settings

    def begins(self, curves: Mapping[str, Sequence[float]]) -> int:
        """Return how long the first guess is trained alone: with ``auto``, while its loss falls."""
        alone = list(curves.get("label alone", ()))
        most = round(_LABEL_ALONE * self.settings.longest)
        return self.settings.plateau(alone[:1] + alone, 0, most)

    def steps(self, batch: TrainingBatch) -> Iterator[Step]:
        """Yield one update: the sum of the hash losses after every gradient step."""
        gradient_steps = self.gradient_steps if batch.whole else 0
        images = self.crafted(batch.images, batch.semantics, batch.codes, steps=gradient_steps)
        losses = [hash_loss(self.hasher, image, batch.codes, _SLOPE) for image in images]
        yield Step("G", torch.stack(losses).sum(), {"label alone": losses[0], "hash": losses[-1]})

    def hash_loss(self, batch: TrainingBatch) -> Tensor:
        """Return the hash loss after the last gradient step, of the hasher's own tanh."""
        crafted = self.crafted(batch.images, batch.semantics, batch.codes)[-1]
        return hash_loss(self.hasher, crafted, batch.codes)

    def crafted(
        self, images: Tensor, semantics: Tensor, codes: Tensor, steps: int | None = None
    ) -> list[Tensor]:
        """Return the images before and after each gradient step, within the budget."""
        steps = self.gradient_steps if steps is None else steps

        def gradient_sign(output: Tensor) -> Tensor:
            with torch.enable_grad():
                pixels = self._within(output, images).detach().requires_grad_(True)
                loss = len(pixels) * hash_loss(self.hasher, pixels, codes, _SLOPE)
                (gradient,) = torch.autograd.grad(loss, pixels)
            return -gradient.sign()

        outputs = self.networks["G"](semantics, 2 * images - 1, gradient_sign, steps)
        return [self._within(output, images) for output in outputs]

    def _within(self, output: Tensor, images: Tensor) -> Tensor:
        return (images + self.epsilon * torch.tanh(_GAIN * output)).clamp(0, 1)


@dataclass(frozen=True, kw_only=True)
class BudgetedProsGan(GeneratorCrafting):
    """An image within the declared budget, in one generator pass per gradient step.

    Attributes:
        gradient_steps: gradients of the hashing loss per image; each costs as much as FGSM.
    """

    drawn_by: ClassVar[TargetDraw] = "images"
    rate_decay: bool = True
    batch: int = 12
    gradient_steps: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gradient_steps < 0:
            raise AttackError(f"gradient_steps must not be negative, got {self.gradient_steps}")

    @property
    def passes(self) -> int:
        """Each gradient step is a forward and a backward pass, and one of the generator."""
        return 1 + 3 * self.gradient_steps

    def generator(self, side: int) -> nn.Module:
        """Return the generator that also takes gradients."""
        return GradientGuidedGenerator(side, self.width)

    def objective(
        self, generator: nn.Module, data: TrainingData, hasher: Hasher, epsilon: float | None
    ) -> Objective:
        """Return the hash loss within the budget."""
        del data
        return Budgeted(generator, hasher, epsilon, self)

    def crafter(self, generator: nn.Module, hasher: Hasher, epsilon: float | None) -> Craft:
        """Return the function that makes the images after the last gradient step."""
        objective = Budgeted(generator, hasher, epsilon, self)
        return lambda images, semantics, codes: objective.crafted(images, semantics, codes)[-1]
