"""A generator within a budget, beyond the paper: it looks where its own guess leads.

Within 8/255 a generator alone hardly moves a code: what moves it is in the hasher's gradient. So
this one is a learnt optimiser of one or two steps. The label decoder's image is the first guess,
one for all queries of a target label; at the image it makes, the sign of the gradient of the
hashing loss is taken (a *look*), and the body turns guess, query and gradient into the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hashattack.attacks.base import AttackError, Batch, Fitted, Journal, Knowledge, Perturb
from hashattack.attacks.pros_gan.adversarial import hash_loss
from hashattack.attacks.pros_gan.crafting import GeneratorCrafting, load_generator
from hashattack.attacks.pros_gan.material import Draw, Material
from hashattack.attacks.pros_gan.networks import LabelDecoder, check_side, generator_body
from hashattack.attacks.pros_gan.training import Step, Training
from hashattack.targets.hasher import Hasher
from hashattack.targets.seeding import seeded
from hashattack.targets.training import Progress

_GAIN = 2.0  # of the output's tanh: one sign of the gradient alone reaches .96 of the budget
_SLOPE = 0.3  # of the hasher's tanh: gradients live where codes saturate
_LABEL_ALONE = 1 / 3  # of the epochs: the first guess is learnt before anything builds on it


class LookingGenerator(nn.Module):
    """From semantics, image and looks to perturbations before their tanh."""

    def __init__(self, side: int, width: int) -> None:
        super().__init__()
        self.side = side
        self.label_decoder = LabelDecoder(side)
        self.body = generator_body(9, width)
        self.last = nn.Conv2d(width + 3, 3, 3, padding=1, bias=False)
        with torch.no_grad():
            self.last.weight *= 0.1  # begin near the plain gradient step

    def forward(
        self, semantic: Tensor, images: Tensor, look: Callable[[Tensor], Tensor], looks: int
    ) -> list[Tensor]:
        """Return the output before and after each look, ``[n, 3, S, S]``, for images in [−1, 1].

        ``look`` maps an output to the sign of the gradient at the image it makes.
        """
        check_side(images, self.side)
        outputs = [self.label_decoder(semantic)]
        for _ in range(looks):
            guess = outputs[-1]
            guide = look(guess)
            x = self.body(torch.cat([guess, images, guide], dim=1))
            outputs.append(guess + guide + self.last(torch.cat([x, images], dim=1)))
        return outputs


@dataclass
class Budgeted:
    """Move the code within ``epsilon``: there is nothing to reconstruct and nobody to fool."""

    generator: LookingGenerator
    hasher: Hasher
    epsilon: float
    looks: int
    label_epochs: int  # in which the first guess learns alone

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """Return the generator."""
        return {"G": self.generator}

    @property
    def remedy(self) -> str | None:
        """Return what lets the hash loss fall."""
        return "raise learning_rate, epochs or epsilon"

    def steps(self, draw: Draw) -> Iterator[Step]:
        """Yield the one turn: the hash loss after every look, summed."""
        looks = 0 if draw.epoch < self.label_epochs else self.looks
        images = self.crafted(draw.images, draw.semantics, draw.codes, looks)
        losses = [hash_loss(self.hasher, image, draw.codes, _SLOPE) for image in images]
        yield Step("G", torch.stack(losses).sum(), {"label alone": losses[0], "hash": losses[-1]})

    def hash_loss(self, draw: Draw) -> Tensor:
        """Return the hash loss after the last look."""
        crafted = self.crafted(draw.images, draw.semantics, draw.codes, self.looks)[-1]
        return hash_loss(self.hasher, crafted, draw.codes, _SLOPE)

    def crafted(self, images: Tensor, semantics: Tensor, codes: Tensor, looks: int) -> list[Tensor]:
        """Return the adversarial image before and after each look, within the budget."""

        def look(output: Tensor) -> Tensor:
            with torch.enable_grad():
                pixels = self._within(output, images).detach().requires_grad_(True)
                loss = len(pixels) * hash_loss(self.hasher, pixels, codes, _SLOPE)
                (gradient,) = torch.autograd.grad(loss, pixels)
            return -gradient.sign()

        outputs = self.generator(semantics, 2 * images - 1, look, looks)
        return [self._within(output, images) for output in outputs]

    def _within(self, output: Tensor, images: Tensor) -> Tensor:
        return (images + self.epsilon * torch.tanh(_GAIN * output)).clamp(0, 1)


@dataclass(frozen=True, kw_only=True)
class BudgetedProsGan(GeneratorCrafting):
    """An image within the declared budget, in one generator pass a look.

    Attributes:
        looks: gradients of the hashing loss it takes an image; each costs as much as FGSM.
    """

    rate_decay: bool = True
    batch: int = 12
    looks: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.looks < 0:
            raise AttackError(f"looks must not be negative, got {self.looks}")

    @property
    def passes(self) -> int:
        """The cost of an image: every look goes forward, backward and through the generator."""
        return 1 + 4 * self.looks

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
        material = Material.of(knowledge, self.target_rows, "images", seed)
        with seeded(seed, f"gan/{knowledge.source}"):
            generator = LookingGenerator(material.side, self.width).to(material.rows)
        objective = Budgeted(
            generator=generator,
            hasher=knowledge.hasher,
            epsilon=_declared(epsilon),
            looks=self.looks,
            label_epochs=round(_LABEL_ALONE * self.epochs),
        )
        return Training(objective, self.pace).run(material, journal=journal, progress=progress)

    def ready(self, knowledge: Knowledge, epsilon: float | None) -> Perturb:
        """Load PrototypeNet and the generator once."""
        prototypes, generator = load_generator(
            knowledge, lambda side: LookingGenerator(side, self.width)
        )
        attack = Budgeted(generator, knowledge.hasher, _declared(epsilon), self.looks, 0)

        @torch.no_grad()
        def perturb(batch: Batch) -> Tensor:
            assert batch.codes is not None  # crafting needs a code, which the template checks
            semantic = prototypes(batch.targets.to(batch.images))[0]
            codes = batch.codes.to(batch.images)
            return attack.crafted(batch.images, semantic, codes, self.looks)[-1]

        return perturb


def _declared(epsilon: float | None) -> float:
    if epsilon is None:
        raise AttackError("a budgeted generator needs an epsilon")
    return epsilon
