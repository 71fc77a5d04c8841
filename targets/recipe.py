"""How long and how fast a network is trained, as data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Epochs, steps and their size; the defaults are the released code's for hashing.

    ``schedule`` is ``thirds`` (a tenth of the rate after each third of the epochs, counted as the
    released code does, one epoch late), ``cosine`` (one-epoch warm-up, then to zero) or
    ``constant``.
    """

    optimiser: Literal["sgd", "adam"] = "sgd"
    epochs: int = 100
    learning_rate: float = 0.05
    momentum: float = 0.0
    weight_decay: float = 1e-5
    batch: int = 32
    schedule: Literal["thirds", "cosine", "constant"] = "thirds"

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1 or self.learning_rate <= 0:
            raise ValueError(f"epochs, batch and learning_rate must be positive, got {self}")

    def rate(self, step: int, steps_per_epoch: int) -> float:
        """Return the learning rate of a 0-based step."""
        epoch, steps = step // steps_per_epoch, self.epochs * steps_per_epoch
        if self.schedule == "thirds":
            period = max(1, self.epochs // 3)
            return float(self.learning_rate * 0.1 ** (max(0, epoch - 1) // period))
        if self.schedule == "cosine":
            warm = min(1.0, (step + 1) / min(steps_per_epoch, max(1, steps // 4)))
            return self.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / steps))
        return self.learning_rate
