"""The crafting of ProS-GAN: one pass of a generator trained once a source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from attacks.base import AttackError, Batch, Crafting, Fitted, Journal, Knowledge, Perturb
from attacks.pros_gan.networks import Discriminator, Generator
from attacks.pros_gan.prototype_net import label_rows, restore
from attacks.pros_gan.settings import Pace, Weights
from attacks.pros_gan.training import GanTraining, Material, hash_direction
from attacks.protocols import PoolName, Reduction
from targets.checkpoints import load_state
from targets.hasher import Hasher, sign_codes
from targets.seeding import seeded
from targets.training import Progress


@dataclass(frozen=True, kw_only=True)
class ProsGan(Crafting):
    """An image in one pass of a generator trained once a source.

    Attributes:
        target_rows: the split whose unique label rows targets are drawn from in training.
        hamming_weight: of the hashing loss; 0 is the ablation GAN.
        gan_loss: ``mean`` over elements, or the paper's printed ``sum``.
        signed_pixels: reconstruction in [−1, 1] (released) or [0, 1].
        rate_decay: learning rates fall to zero over the second half.
        generator_first: order of the two steps.
        discriminator_sigmoid, discriminator_spectral, discriminator_every: its form and pace.
        alpha: weight of the reconstruction (100 for FLICKR-25K and 50 otherwise in the paper).
        adversarial_weight: of the discriminator's verdict.
        class_outputs: whether the discriminator names classes; without is the ablation ProS-GAN1.
        width: channels of the first layers, 64 in the paper.
        epochs, batch, learning_rate: of Adam with betas .5 and .999.
        gain: slope of the output's tanh; above 1 pushes a budgeted perturbation to its bounds.
        slope: of the hasher's tanh in training; below 1 gradients live where codes saturate.
        widened: how many times its budget a budgeted generator starts with; the factor falls to 1
            over the first half of the epochs.
        label_skip: add the decoded label to the generator's output.
        guided: show the generator one gradient of the hashing loss at the query, and add it to its
            output; costs one backward pass of the hasher an image.
        target_draw: training targets uniform over label rows (published), or over the images
            that carry them, so that frequent rows are learnt first.
    """

    learns: ClassVar[bool] = True
    target_rows: PoolName
    hamming_weight: float
    gan_loss: Reduction
    signed_pixels: bool
    rate_decay: bool
    generator_first: bool
    discriminator_sigmoid: bool
    discriminator_spectral: bool
    discriminator_every: int
    alpha: float = 50.0
    adversarial_weight: float = 1.0
    class_outputs: bool = True
    width: int = 64
    epochs: int = 100
    batch: int = 24
    learning_rate: float = 1e-4
    gain: float = 1.0
    slope: float = 1.0
    widened: float = 1.0
    label_skip: bool = False
    guided: bool = False
    target_draw: Literal["rows", "images"] = "rows"

    def __post_init__(self) -> None:
        positive = (self.width, self.epochs, self.batch, self.learning_rate, self.gain, self.slope)
        if min(positive) <= 0 or self.discriminator_every < 1:
            raise AttackError(
                "width, epochs, batch, learning_rate, gain, slope and discriminator_every must be "
                "positive"
            )

    def finish(self, output: Tensor, clean: Tensor, epsilon: float | None) -> Tensor:
        """Return the adversarial image in [0, 1].

        Without a budget the tanh output itself, as published; with one the image plus a
        perturbation that obeys it by construction.
        """
        bounded = torch.tanh(self.gain * output)
        return (bounded + 1) / 2 if epsilon is None else (clean + epsilon * bounded).clamp(0, 1)

    def fit_passes(self, n_train: int) -> int:
        """Return the cost of a fit: hasher and generator, forward and backward, each epoch."""
        return 6 * self.epochs * n_train

    def _network(self, side: int) -> Generator:
        return Generator(side, self.width, label_skip=self.label_skip, guided=self.guided)

    def _budget(self, epsilon: float | None, epoch: int) -> float | None:
        """Return the budget an epoch is trained with."""
        if epsilon is None:
            return None
        left = max(0.0, 1 - 2 * epoch / self.epochs)
        return epsilon * (1 + (self.widened - 1) * left)

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
        if knowledge.train_images is None:
            raise AttackError("a generator needs the training images")
        weight = next(knowledge.hasher.parameters())  # all is computed where and as it is
        rows, counts = label_rows(knowledge.pool(self.target_rows).labels)
        known = (rows @ knowledge.train.labels.T > 0).any(axis=1)
        rows, counts = rows[known], counts[known]
        shares = counts if self.target_draw == "images" else np.ones(len(rows))
        labels = torch.from_numpy(rows).float()
        prototypes = restore(knowledge.fitted["target_code"], rows.shape[1], knowledge.hasher.bits)
        semantics, outputs, _ = prototypes(labels)
        sample = knowledge.train_images.read(np.zeros(1, dtype=np.int64))
        side = sample.shape[-1]
        classes = rows.shape[1] if self.class_outputs else 0
        with seeded(seed, f"gan/{knowledge.source}"):
            network = self._network(side).to(weight)
            discriminator = Discriminator(
                side,
                classes + 1,
                self.width,
                spectral=self.discriminator_spectral,
                sigmoid=self.discriminator_sigmoid,
            ).to(weight)
        training = GanTraining(
            generator=network,
            discriminator=discriminator,
            hasher=knowledge.hasher,
            finish=lambda output, clean, epoch: self.finish(
                output, clean, self._budget(epsilon, epoch)
            ),
            class_outputs=self.class_outputs,
            weights=Weights(
                reconstruction=self.alpha,
                hamming=self.hamming_weight,
                adversarial=self.adversarial_weight,
                sums=self.gan_loss == "sum",
                signed_pixels=self.signed_pixels,
                slope=self.slope,
            ),
            pace=Pace(
                epochs=self.epochs,
                batch=self.batch,
                rate=self.learning_rate,
                decay=self.rate_decay,
                generator_first=self.generator_first,
                discriminator_every=self.discriminator_every,
            ),
        )
        material = Material(
            images=knowledge.train_images,
            labels=knowledge.train.labels,
            rows=labels.to(weight),
            shares=shares / shares.sum(),
            semantics=semantics.to(weight),
            codes=sign_codes(outputs).to(weight),
        )
        return training.run(
            material, seed=seed, source=knowledge.source, journal=journal, progress=progress
        )

    def ready(self, knowledge: Knowledge, epsilon: float | None) -> Perturb:
        """Load PrototypeNet and the generator once."""
        weight = next(knowledge.hasher.parameters())
        prototypes = restore(
            knowledge.fitted["target_code"],
            knowledge.train.labels.shape[1],
            knowledge.hasher.bits,
        ).to(weight)
        state = knowledge.fitted["crafting"]
        side = 16 * round((state["label_decoder.dense.0.bias"].shape[0] / 128) ** 0.5)
        with seeded(0, "overwritten below"):
            network = self._network(side)
        load_state(network, state, "the generator's state")
        network.to(weight).eval().requires_grad_(False)

        def guide(batch: Batch) -> Tensor | None:
            if not self.guided or batch.codes is None:
                return None
            codes = batch.codes.to(batch.images)
            return hash_direction(knowledge.hasher, batch.images, codes, self.slope)

        @torch.no_grad()
        def perturb(batch: Batch) -> Tensor:
            if batch.images.shape[-1] != side:
                raise AttackError(
                    f"the generator was fitted for images of side {side}, not "
                    f"{batch.images.shape[-1]}"
                )
            semantic = prototypes(batch.targets.to(weight))[0]
            output = network(semantic, 2 * batch.images - 1, guide(batch))
            return self.finish(output, batch.images, epsilon)

        return perturb

    def perturb(self, batch: Batch, hasher: Hasher, epsilon: float | None) -> Tensor:
        """Refuse: a generator must be loaded first."""
        raise NotImplementedError("a generator perturbs through ready()")
