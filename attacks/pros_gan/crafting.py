"""The crafting of ProS-GAN, one pass of a generator trained once a source, and its objective.

Paper, Section 3.3: the generator learns against a discriminator, the hasher frozen.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from hashattack.attacks.base import (
    AttackError,
    Batch,
    Crafting,
    Fitted,
    Journal,
    Knowledge,
    Perturb,
)
from hashattack.attacks.pros_gan.networks import Discriminator, Generator, side_of
from hashattack.attacks.pros_gan.prototype_net import restore
from hashattack.attacks.pros_gan.training import (
    Objective,
    Step,
    TargetDraw,
    Training,
    TrainingBatch,
    TrainingData,
    TrainingSchedule,
)
from hashattack.attacks.protocols import PoolName, Reduction
from hashattack.targets.checkpoints import load_state
from hashattack.targets.hasher import Hasher
from hashattack.targets.seeding import seeded
from hashattack.targets.training import Progress

# Images [n, 3, S, S], r of their targets [n, 512] and target codes [n, K] -> adversarial images.
Craft = Callable[[Tensor, Tensor, Tensor], Tensor]


def hash_loss(hasher: Hasher, images: Tensor, codes: Tensor, slope: float = 1.0) -> Tensor:
    """Return 1 − mean of z·h over images ``[n, 3, S, S]`` and bits; tanh at ``slope``."""
    outputs: Tensor = hasher(images, alpha=slope)
    return (1 - (outputs * codes).mean(dim=1)).mean()


def to_image(output: Tensor) -> Tensor:
    """Return the generator's tanh output as pixels in [0, 1]."""
    return (torch.tanh(output) + 1) / 2


@dataclass(frozen=True, kw_only=True)
class GeneratorCrafting(Crafting, TrainingSchedule):
    """An image from a trained generator.

    Attributes:
        target_rows: the split whose unique label rows targets are drawn from in training.
        width: channels of the first layers, 64 in the paper.
    """

    learns: ClassVar[bool] = True
    drawn_by: ClassVar[TargetDraw]
    target_rows: PoolName
    width: int = 64

    def __post_init__(self) -> None:
        if min(self.width, self.longest, self.batch, self.learning_rate) <= 0:
            raise AttackError("width, epochs, batch and learning_rate must be positive")

    @property
    def fit_batch(self) -> int | None:
        """Images per step."""
        return self.batch

    def fit_passes(self, n_train: int) -> int:
        """Return the most that a fit costs: hasher and generator, forward and backward."""
        return 4 * self.longest * n_train

    @abstractmethod
    def generator(self, side: int) -> nn.Module:
        """Return an untrained generator for images of a side."""

    @abstractmethod
    def objective(
        self, generator: nn.Module, data: TrainingData, hasher: Hasher, epsilon: float | None
    ) -> Objective:
        """Return what the generator is trained for, within the declared budget."""

    @abstractmethod
    def crafter(self, generator: nn.Module, hasher: Hasher, epsilon: float | None) -> Craft:
        """Return the function that makes adversarial images with a trained generator."""

    def fit(
        self,
        knowledge: Knowledge,
        *,
        epsilon: float | None,
        seed: int,
        journal: Journal,
        progress: Progress,
    ) -> Fitted:
        """Train the generator against the frozen hasher, from the last saved epoch."""
        data = TrainingData.of(knowledge, self.target_rows, self.drawn_by, seed)
        with seeded(seed, f"gan/{knowledge.source}"):
            generator = self.generator(data.side).to(data.rows)
            objective = self.objective(generator, data, knowledge.hasher, epsilon)
        return Training(objective, self).run(data, journal=journal, progress=progress)

    def ready(self, knowledge: Knowledge, epsilon: float | None) -> Perturb:
        """Load PrototypeNet and the generator once, frozen, on the hasher's device and dtype."""
        hasher = knowledge.hasher
        weight = next(hasher.parameters())
        prototypes = restore(knowledge, knowledge.train.labels.shape[1]).to(weight)
        state = knowledge.fitted["crafting"]
        with torch.device("meta"):
            generator = self.generator(side_of(state))
        load_state(generator, state, "the generator's state", assign=True)
        craft = self.crafter(generator.to(weight).eval().requires_grad_(False), hasher, epsilon)

        @torch.no_grad()
        def perturb(batch: Batch) -> Tensor:
            assert batch.codes is not None  # crafting needs a code, which the template checks
            semantics = prototypes(batch.labels.to(batch.images))[0]
            return craft(batch.images, semantics, batch.codes.to(batch.images))

        return perturb

    def perturb(self, batch: Batch, hasher: Hasher, epsilon: float | None) -> Tensor:
        """Raise: :meth:`ready` loads the generator and returns the function that perturbs."""
        raise NotImplementedError("a generator perturbs through ready()")


@dataclass(frozen=True, kw_only=True)
class ProsGan(GeneratorCrafting):
    """An image in one pass of a generator, as published: no budget.

    Attributes:
        hamming_weight: weight of the hashing loss; 0 is the ablation GAN.
        gan_loss: ``mean`` over elements, or the paper's printed ``sum``.
        signed_pixels: reconstruction in [−1, 1] (released), four times that in [0, 1].
        generator_first: the generator is updated before the discriminator.
        discriminator_sigmoid: whether the discriminator's outputs pass a sigmoid.
        discriminator_spectral: whether its convolutions are spectrally normalised.
        discriminator_every: the discriminator is updated in every so many batches.
        alpha: weight of the reconstruction (100 for FLICKR-25K and 50 otherwise in the paper).
        adversarial_weight: weight of the discriminator's term.
        class_outputs: whether the discriminator has class outputs; False is the ablation ProS-GAN1.
    """

    drawn_by: ClassVar[TargetDraw] = "rows"
    hamming_weight: float
    gan_loss: Reduction
    signed_pixels: bool
    generator_first: bool
    discriminator_sigmoid: bool
    discriminator_spectral: bool
    discriminator_every: int
    alpha: float = 50.0
    adversarial_weight: float = 1.0
    class_outputs: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.discriminator_every < 1:
            raise AttackError("discriminator_every must be positive")

    def generator(self, side: int) -> nn.Module:
        """Return the generator of the paper."""
        return Generator(side, self.width)

    def objective(
        self, generator: nn.Module, data: TrainingData, hasher: Hasher, epsilon: float | None
    ) -> Objective:
        """Return the losses of generator and discriminator."""
        if epsilon is not None:
            raise AttackError("ProS-GAN obeys no budget; prosgan-eps does")
        discriminator = Discriminator(
            data.side,
            (data.rows.shape[1] if self.class_outputs else 0) + 1,
            self.width,
            spectral=self.discriminator_spectral,
            sigmoid=self.discriminator_sigmoid,
        )
        return Adversarial(generator, discriminator.to(data.rows), hasher, self)

    def crafter(self, generator: nn.Module, hasher: Hasher, epsilon: float | None) -> Craft:
        """Return the generator's pass."""
        del hasher, epsilon
        return lambda images, semantics, _: to_image(generator(semantics, 2 * images - 1))


class Adversarial(Objective):
    """Generator against discriminator, the hasher frozen."""

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, hasher: Hasher, settings: ProsGan
    ) -> None:
        self.generator, self.discriminator = generator, discriminator
        self.hasher, self.settings = hasher, settings
        self.networks = {"G": generator, "D": discriminator}
        self.has_hash_loss = settings.hamming_weight > 0  # the ablation GAN has no such loss

    def steps(self, batch: TrainingBatch) -> Iterator[Step]:
        """Yield the two updates in their order; the discriminator's every so many batches."""
        crafted = self._crafted(batch)
        train_discriminator = batch.index % self.settings.discriminator_every == 0
        if train_discriminator and not self.settings.generator_first:
            yield self._discriminator_step(batch, crafted)
        self.discriminator.requires_grad_(False)
        yield self._generator_step(batch, crafted)
        self.discriminator.requires_grad_(True)
        if train_discriminator and self.settings.generator_first:
            yield self._discriminator_step(batch, crafted)

    def hash_loss(self, batch: TrainingBatch) -> Tensor:
        """Return the hash loss of the generator's present images."""
        return hash_loss(self.hasher, self._crafted(batch), batch.codes)

    def _crafted(self, batch: TrainingBatch) -> Tensor:
        return to_image(self.generator(batch.semantics, 2 * batch.images - 1))

    def _generator_step(self, batch: TrainingBatch, crafted: Tensor) -> Step:
        settings = self.settings
        scale = 2.0 if settings.signed_pixels else 1.0
        with torch.set_grad_enabled(settings.hamming_weight > 0):
            hashing = hash_loss(self.hasher, crafted, batch.codes)
        parts = {
            "reconstruction": self._error(scale * crafted, scale * batch.images),
            "hash": hashing,
            "adversarial": self._judged(crafted, batch.targets, fake=False),
        }
        weights = (settings.alpha, settings.hamming_weight, settings.adversarial_weight)
        weighted = [weight * part for weight, part in zip(weights, parts.values(), strict=True)]
        return Step("G", torch.stack(weighted).sum(), parts)

    def _discriminator_step(self, batch: TrainingBatch, crafted: Tensor) -> Step:
        real = self._judged(batch.images, batch.labels, fake=False)
        fake = self._judged(crafted.detach(), batch.targets, fake=True)
        loss = (real + fake) / 2
        return Step("D", loss, {"discriminator": loss})

    def _judged(self, images: Tensor, labels: Tensor, *, fake: bool) -> Tensor:
        """Return the error of the discriminator: it is to say the classes, then 1 for a fake."""
        last = labels.new_full((len(labels), 1), float(fake))
        desired = torch.cat([labels, last], dim=1) if self.settings.class_outputs else last
        return self._error(self.discriminator(2 * images - 1), desired)

    def _error(self, found: Tensor, wanted: Tensor) -> Tensor:
        """Return the squared error: mean over elements, or their sum an image."""
        if self.settings.gan_loss == "sum":
            return (found - wanted).square().flatten(1).sum(dim=1).mean()
        return mse_loss(found, wanted)
