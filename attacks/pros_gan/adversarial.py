"""The objective of ProS-GAN: generator against discriminator (paper, Section 3.3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from hashattack.attacks.pros_gan.networks import Discriminator, Generator
from hashattack.attacks.pros_gan.training import Step
from hashattack.attacks.pros_gan.training_data import TrainingBatch
from hashattack.attacks.protocols import Reduction
from hashattack.targets.hasher import Hasher


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The terms of the two losses, and the order of the updates.

    Attributes:
        hamming_weight: weight of the hashing loss; 0 is the ablation GAN.
        gan_loss: ``mean`` over elements, or the paper's printed ``sum``.
        signed_pixels: reconstruction in [−1, 1] (released), four times that in [0, 1].
        generator_first: the generator is updated before the discriminator.
        discriminator_every: the discriminator is updated in every so many batches.
        alpha: weight of the reconstruction (100 for FLICKR-25K and 50 otherwise in the paper).
        adversarial_weight: weight of the discriminator's term.
        class_outputs: whether the discriminator has class outputs; False is the ablation ProS-GAN1.
    """

    hamming_weight: float
    gan_loss: Reduction
    signed_pixels: bool
    generator_first: bool
    discriminator_every: int
    alpha: float = 50.0
    adversarial_weight: float = 1.0
    class_outputs: bool = True


def hash_loss(hasher: Hasher, images: Tensor, codes: Tensor, slope: float = 1.0) -> Tensor:
    """Return 1 − mean of z·h over images ``[n, 3, S, S]`` and bits; tanh at ``slope``."""
    outputs: Tensor = hasher(images, alpha=slope)
    return (1 - (outputs * codes).mean(dim=1)).mean()


def to_image(output: Tensor) -> Tensor:
    """Return the generator's tanh output as pixels in [0, 1]."""
    return (torch.tanh(output) + 1) / 2


@dataclass
class Adversarial:
    """Generator against discriminator, the hasher frozen."""

    generator: Generator
    discriminator: Discriminator
    hasher: Hasher
    terms: Terms

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """Return generator and discriminator."""
        return {"G": self.generator, "D": self.discriminator}

    @property
    def remedy(self) -> str | None:
        """Return what to change if the hash loss does not fall (the ablation GAN has none)."""
        return (
            "lower alpha, or raise learning_rate or epochs" if self.terms.hamming_weight else None
        )

    def steps(self, batch: TrainingBatch) -> Iterator[Step]:
        """Yield the two updates in their order; the discriminator's every so many batches."""
        crafted = self._crafted(batch)
        train_discriminator = batch.index % self.terms.discriminator_every == 0
        if train_discriminator and not self.terms.generator_first:
            yield self._discriminator_step(batch, crafted)
        yield from self._generator_step(batch, crafted)
        if train_discriminator and self.terms.generator_first:
            yield self._discriminator_step(batch, crafted)

    def hash_loss(self, batch: TrainingBatch) -> Tensor:
        """Return the hash loss of the generator's present images."""
        return hash_loss(self.hasher, self._crafted(batch), batch.codes)

    def _crafted(self, batch: TrainingBatch) -> Tensor:
        return to_image(self.generator(batch.semantics, 2 * batch.images - 1))

    def _generator_step(self, batch: TrainingBatch, crafted: Tensor) -> Iterator[Step]:
        self.discriminator.requires_grad_(False)
        scale = 2.0 if self.terms.signed_pixels else 1.0
        with torch.set_grad_enabled(self.terms.hamming_weight > 0):
            hashing = hash_loss(self.hasher, crafted, batch.codes)
        parts = {
            "reconstruction": self._error(scale * crafted, scale * batch.images),
            "hash": hashing,
            "adversarial": self._error(
                self.discriminator(2 * crafted - 1), self._desired_output(batch.targets, fake=False)
            ),
        }
        weights = {
            "reconstruction": self.terms.alpha,
            "hash": self.terms.hamming_weight,
            "adversarial": self.terms.adversarial_weight,
        }
        total = torch.stack([weights[name] * part for name, part in parts.items()]).sum()
        yield Step("G", total, parts)
        self.discriminator.requires_grad_(True)

    def _discriminator_step(self, batch: TrainingBatch, crafted: Tensor) -> Step:
        real = self._error(
            self.discriminator(2 * batch.images - 1),
            self._desired_output(batch.labels, fake=False),
        )
        fake = self._error(
            self.discriminator(2 * crafted.detach() - 1),
            self._desired_output(batch.targets, fake=True),
        )
        loss = (real + fake) / 2
        return Step("D", loss, {"discriminator": loss})

    def _desired_output(self, labels: Tensor, *, fake: bool) -> Tensor:
        """Return the discriminator's desired output: the classes, then 1 for a fake."""
        last = labels.new_full((len(labels), 1), float(fake))
        return torch.cat([labels, last], dim=1) if self.terms.class_outputs else last

    def _error(self, found: Tensor, wanted: Tensor) -> Tensor:
        """Return the squared error: mean over elements, or their sum an image."""
        if self.terms.gan_loss == "sum":
            return (found - wanted).square().flatten(1).sum(dim=1).mean()
        return mse_loss(found, wanted)
