"""A generator within a budget, beyond the paper: it also sees the hasher's gradient.

Within 8/255 a generator alone hardly moves a code. This one is a learnt optimiser of one or two
gradient steps. The label decoder's image is the first guess, one for all queries of a target label;
a gradient step takes the sign of the hashing loss's gradient at the image of the guess, and the
body turns guess, query and gradient into the next guess.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hashattack.attacks.base import AttackError, Batch, Fitted, Journal, Knowledge, Perturb
from hashattack.attacks.pros_gan.adversarial import hash_loss
from hashattack.attacks.pros_gan.crafting import GeneratorCrafting, load_generator
from hashattack.attacks.pros_gan.networks import LabelDecoder, check_side, generator_body
from hashattack.attacks.pros_gan.training import Step, Training
from hashattack.attacks.pros_gan.training_data import TrainingBatch, TrainingData
from hashattack.targets.hasher import Hasher
from hashattack.targets.seeding import seeded
from hashattack.targets.training import Progress

_GAIN = 2.0  # of the output's tanh: one sign of the gradient alone reaches .96 of the budget
_SLOPE = 0.3  # of the hasher's tanh: gradients live where codes saturate
_LABEL_ALONE = 1 / 3  # of the epochs: the first guess is trained alone before the rest


class GradientGuidedGenerator(nn.Module):
    """From semantics, images and gradients to perturbations before their tanh."""

    def __init__(self, side: int, width: int) -> None:
        super().__init__()
        self.side = side
        self.label_decoder = LabelDecoder(side)
        self.body = generator_body(9, width)
        self.last = nn.Conv2d(width + 3, 3, 3, padding=1, bias=False)
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
        check_side(images, self.side)
        outputs = [self.label_decoder(semantic)]
        for _ in range(steps):
            guess = outputs[-1]
            guide = gradient_sign(guess)
            x = self.body(torch.cat([guess, images, guide], dim=1))
            outputs.append(guess + guide + self.last(torch.cat([x, images], dim=1)))
        return outputs


@dataclass
class Budgeted:
    """The objective within ``epsilon``: the hash loss alone, without discriminator."""

    generator: GradientGuidedGenerator
    hasher: Hasher
    epsilon: float
    gradient_steps: int
    label_epochs: int  # in which the first guess learns alone

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """Return the generator."""
        return {"G": self.generator}

    @property
    def remedy(self) -> str | None:
        """Return what to change if the hash loss does not fall."""
        return "raise learning_rate, epochs or epsilon"

    def steps(self, batch: TrainingBatch) -> Iterator[Step]:
        """Yield one update: the sum of the hash losses after every gradient step."""
        gradient_steps = 0 if batch.epoch < self.label_epochs else self.gradient_steps
        images = self.crafted(batch.images, batch.semantics, batch.codes, gradient_steps)
        losses = [hash_loss(self.hasher, image, batch.codes, _SLOPE) for image in images]
        yield Step("G", torch.stack(losses).sum(), {"label alone": losses[0], "hash": losses[-1]})

    def hash_loss(self, batch: TrainingBatch) -> Tensor:
        """Return the hash loss after the last gradient step."""
        crafted = self.crafted(batch.images, batch.semantics, batch.codes, self.gradient_steps)[-1]
        return hash_loss(self.hasher, crafted, batch.codes, _SLOPE)

    def crafted(self, images: Tensor, semantics: Tensor, codes: Tensor, steps: int) -> list[Tensor]:
        """Return the images before and after each gradient step, within the budget."""

        def gradient_sign(output: Tensor) -> Tensor:
            with torch.enable_grad():
                pixels = self._within(output, images).detach().requires_grad_(True)
                loss = len(pixels) * hash_loss(self.hasher, pixels, codes, _SLOPE)
                (gradient,) = torch.autograd.grad(loss, pixels)
            return -gradient.sign()

        outputs = self.generator(semantics, 2 * images - 1, gradient_sign, steps)
        return [self._within(output, images) for output in outputs]

    def _within(self, output: Tensor, images: Tensor) -> Tensor:
        return (images + self.epsilon * torch.tanh(_GAIN * output)).clamp(0, 1)


@dataclass(frozen=True, kw_only=True)
class BudgetedProsGan(GeneratorCrafting):
    """An image within the declared budget, in one generator pass per gradient step.

    Attributes:
        gradient_steps: gradients of the hashing loss per image; each costs as much as FGSM.
    """

    rate_decay: bool = True
    batch: int = 12
    gradient_steps: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gradient_steps < 0:
            raise AttackError(f"gradient_steps must not be negative, got {self.gradient_steps}")

    @property
    def passes(self) -> int:
        """Each gradient step is a forward, a backward and a generator pass."""
        return 1 + 4 * self.gradient_steps

    def fit(
        self,
        knowledge: Knowledge,
        *,
        epsilon: float | None,
        seed: int,
        journal: Journal,
        progress: Progress,
    ) -> Fitted:
        """Train the generator within the budget, from the last saved epoch."""
        data = TrainingData.of(knowledge, self.target_rows, "images", seed)
        with seeded(seed, f"gan/{knowledge.source}"):
            generator = GradientGuidedGenerator(data.side, self.width).to(data.rows)
        objective = Budgeted(
            generator=generator,
            hasher=knowledge.hasher,
            epsilon=_declared(epsilon),
            gradient_steps=self.gradient_steps,
            label_epochs=round(_LABEL_ALONE * self.epochs),
        )
        return Training(objective, self.schedule).run(data, journal=journal, progress=progress)

    def ready(self, knowledge: Knowledge, epsilon: float | None) -> Perturb:
        """Load PrototypeNet and the generator once."""
        prototypes, generator = load_generator(
            knowledge, lambda side: GradientGuidedGenerator(side, self.width)
        )
        attack = Budgeted(generator, knowledge.hasher, _declared(epsilon), self.gradient_steps, 0)

        @torch.no_grad()
        def perturb(batch: Batch) -> Tensor:
            assert batch.codes is not None  # crafting needs a code, which the template checks
            semantic = prototypes(batch.targets.to(batch.images))[0]
            codes = batch.codes.to(batch.images)
            return attack.crafted(batch.images, semantic, codes, self.gradient_steps)[-1]

        return perturb


def _declared(epsilon: float | None) -> float:
    if epsilon is None:
        raise AttackError("a budgeted generator needs an epsilon")
    return epsilon
