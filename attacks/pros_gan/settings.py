"""How generator and discriminator are trained, as data: objective and pace."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Weights:
    """The generator's objective: how its three terms are weighted and measured."""

    reconstruction: float  # the paper's alpha
    hamming: float
    adversarial: float
    sums: bool  # terms are sums over elements, as printed, not means
    signed_pixels: bool  # reconstruction in [−1, 1], four times that in [0, 1]
    slope: float  # of the hasher's tanh; below 1 gradients live where codes saturate


@dataclass(frozen=True)
class Pace:
    """How long and how fast, and in what order the two networks learn."""

    epochs: int
    batch: int
    rate: float
    decay: bool  # to zero over the second half
    generator_first: bool
    discriminator_every: int

    def rate_at(self, epoch: int) -> float:
        """Return the learning rate of a 0-based epoch: released, 1 − (e − 49)/51 from 50 of 100."""
        half = self.epochs // 2
        if not self.decay or epoch < half:
            return self.rate
        return self.rate * (1 - (epoch - half + 1) / (self.epochs - half + 1))
