"""The crafting of ProS-GAN: one pass of a generator trained once a source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import torch
from torch import Tensor, nn

from hashattack.attacks.base import (
    AttackError,
    Batch,
    Crafting,
    Fitted,
    Journal,
    Knowledge,
    Perturb,
)
from hashattack.attacks.pros_gan.adversarial import Adversarial, Terms, to_image
from hashattack.attacks.pros_gan.networks import Discriminator, Generator, side_of
from hashattack.attacks.pros_gan.prototype_net import PrototypeNet, restore
from hashattack.attacks.pros_gan.training import Training, TrainingSchedule
from hashattack.attacks.pros_gan.training_data import TrainingData
from hashattack.attacks.protocols import PoolName
from hashattack.targets.checkpoints import load_state
from hashattack.targets.hasher import Hasher
from hashattack.targets.seeding import seeded
from hashattack.targets.training import Progress

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class GeneratorCrafting(Crafting):
    """The training settings of every generator.

    Attributes:
        target_rows: the split whose unique label rows targets are drawn from in training.
        rate_decay: learning rates fall to zero over the second half.
        width: channels of the first layers, 64 in the paper.
        epochs, batch, learning_rate: of Adam with betas .5 and .999.
    """

    learns: ClassVar[bool] = True
    target_rows: PoolName
    rate_decay: bool
    width: int = 64
    epochs: int = 100
    batch: int = 24
    learning_rate: float = 1e-4

    def __post_init__(self) -> None:
        if min(self.width, self.epochs, self.batch, self.learning_rate) <= 0:
            raise AttackError("width, epochs, batch and learning_rate must be positive")

    @property
    def schedule(self) -> TrainingSchedule:
        """Return the training schedule."""
        return TrainingSchedule(
            epochs=self.epochs, batch=self.batch, rate=self.learning_rate, decay=self.rate_decay
        )

    @property
    def fit_batch(self) -> int | None:
        """Images a step."""
        return self.batch

    def fit_passes(self, n_train: int) -> int:
        """Return the cost of a fit: hasher and generator, forward and backward, each epoch."""
        return 6 * self.epochs * n_train

    def perturb(self, batch: Batch, hasher: Hasher, epsilon: float | None) -> Tensor:
        """Raise: :meth:`ready` loads the generator and returns the function that perturbs."""
        raise NotImplementedError("a generator perturbs through ready()")


@dataclass(frozen=True, kw_only=True)
class ProsGan(GeneratorCrafting, Terms):
    """An image in one pass of a generator, as published: no budget.

    Attributes:
        discriminator_sigmoid: whether the discriminator's outputs pass a sigmoid.
        discriminator_spectral: whether its convolutions are spectrally normalised.
    """

    discriminator_sigmoid: bool
    discriminator_spectral: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.discriminator_every < 1:
            raise AttackError("discriminator_every must be positive")

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
        if epsilon is not None:
            raise AttackError("ProS-GAN obeys no budget; prosgan-eps does")
        data = TrainingData.of(knowledge, self.target_rows, "rows", seed)
        classes = data.rows.shape[1] if self.class_outputs else 0
        with seeded(seed, f"gan/{knowledge.source}"):
            generator = Generator(data.side, self.width)
            discriminator = Discriminator(
                data.side,
                classes + 1,
                self.width,
                spectral=self.discriminator_spectral,
                sigmoid=self.discriminator_sigmoid,
            )
        objective = Adversarial(
            generator=generator.to(data.rows),
            discriminator=discriminator.to(data.rows),
            hasher=knowledge.hasher,
            terms=self,
        )
        return Training(objective, self.schedule).run(data, journal=journal, progress=progress)

    def ready(self, knowledge: Knowledge, epsilon: float | None) -> Perturb:
        """Load PrototypeNet and the generator once."""
        del epsilon
        prototypes, generator = load_generator(knowledge, lambda side: Generator(side, self.width))

        @torch.no_grad()
        def perturb(batch: Batch) -> Tensor:
            semantic = prototypes(batch.targets.to(batch.images))[0]
            return to_image(generator(semantic, 2 * batch.images - 1))

        return perturb


def load_generator(
    knowledge: Knowledge, build: Callable[[int], Network]
) -> tuple[PrototypeNet, Network]:
    """Return the fitted PrototypeNet and generator, frozen, on the hasher's device and dtype.

    ``build`` makes a generator for images of a side.
    """
    weight = next(knowledge.hasher.parameters())
    classes = knowledge.train.labels.shape[1]
    prototypes = restore(knowledge.fitted["target_code"], classes, knowledge.hasher.bits)
    state = knowledge.fitted["crafting"]
    with torch.device("meta"):
        generator = build(side_of(state))
    load_state(generator, state, "the generator's state", assign=True)
    return prototypes.to(weight), generator.to(weight).eval().requires_grad_(False)
