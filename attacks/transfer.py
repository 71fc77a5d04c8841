"""Settings of a gradient loop that help its images transfer to other hashers. They compose.

Each is off by default. What they do to images and to gradients is in ``input_transforms.py`` and
``gradient_transforms.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from hashattack.attacks.base import AttackError, Batch
from hashattack.attacks.gradient_transforms import Gradient, Moment, accumulated, smoothed, tuned
from hashattack.attacks.input_transforms import diverse


@dataclass(frozen=True, kw_only=True)
class TransferHooks:
    """Settings of a gradient loop that make its images transfer better.

    Attributes:
        momentum: weight of the earlier gradients (MI-FGSM: Dong et al., CVPR 2018).
        nesterov: whether gradients are taken a step ahead, along the momentum (NI-FGSM: Lin et
            al., ICLR 2020).
        diversity: probability with which the hasher is shown an image resized and padded at random
            at a step (Xie et al., CVPR 2019).
        diversity_resize: the smallest side of a resized image, as a fraction of its own.
        scale_copies: over how many copies the gradient is the mean; the i-th, from 0, has its
            pixels divided by 2 to the i (SI: Lin et al., ICLR 2020).
        translation_kernel: side in pixels of the Gaussian that smooths gradients, odd; 1 for none
            (TI: Dong et al., CVPR 2019).
        variance_samples: neighbours whose gradients are taken in each step (VT: Wang and He,
            CVPR 2021).
        variance_radius: how far away they are, in budgets; in pixels where there is no budget.
    """

    momentum: float = 0.0
    nesterov: bool = False
    diversity: float = 0.0
    diversity_resize: float = 0.9
    scale_copies: int = 1
    translation_kernel: int = 1
    variance_samples: int = 0
    variance_radius: float = 1.5

    def __post_init__(self) -> None:
        rules = {
            "momentum must be 0 or more": self.momentum >= 0,
            "nesterov needs a momentum": self.momentum > 0 or not self.nesterov,
            "diversity must be a probability": 0 <= self.diversity <= 1,
            "diversity_resize must be above 0, at most 1": 0 < self.diversity_resize <= 1,
            "scale_copies must be positive": self.scale_copies >= 1,
            "translation_kernel must be odd": self.translation_kernel % 2 == 1,
            "translation_kernel must be positive": self.translation_kernel >= 1,
            "variance_samples must be 0 or more": self.variance_samples >= 0,
            "variance_radius must be 0 or more": self.variance_radius >= 0,
        }
        for rule, holds in rules.items():
            if not holds:
                raise AttackError(f"{rule}, got {self}")

    @property
    def gradients_per_step(self) -> int:
        """How many gradients of the hasher a step takes."""
        return self.scale_copies * (1 + self.variance_samples)

    def views(self, images: Tensor, batch: Batch, moment: Moment) -> Iterator[Tensor]:
        """Yield what the hasher is shown in place of images ``[n, 3, S, S]``, to take a mean of."""
        for copy in range(self.scale_copies):
            view = images / 2**copy if copy else images
            if self.diversity:
                purpose = moment.purpose(f"diversity {copy}")
                view = diverse(view, batch, purpose, self.diversity, self.diversity_resize)
            yield view

    def transferable(
        self, gradient_at: Gradient, batch: Batch, epsilon: float | None, step_size: float
    ) -> Gradient:
        """Return the gradients as a descent uses them; what they remember begins anew."""
        if self.translation_kernel > 1:
            gradient_at = smoothed(gradient_at, self.translation_kernel)
        if self.variance_samples:
            radius = self.variance_radius * (1.0 if epsilon is None else epsilon)
            gradient_at = tuned(gradient_at, batch, self.variance_samples, radius)
        if self.momentum:
            ahead = step_size * self.momentum if self.nesterov else 0.0
            gradient_at = accumulated(gradient_at, self.momentum, ahead)
        return gradient_at
