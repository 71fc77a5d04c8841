"""Gradients of a descent, and what makes others of them: kernels, neighbours, momentum.

Each function wraps a :data:`Gradient` in another one. None of them mixes images, so that no
image's steps depend on the batch it is in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from hashattack.attacks.base import Batch


@dataclass(frozen=True)
class Moment:
    """When a gradient is computed: at which step of which restart, at which point of the step."""

    restart: int
    step: int
    point: int = 0  # of those whose gradients one step takes

    def purpose(self, name: str) -> str:
        """Return the purpose of a draw that belongs to this moment."""
        return f"{name}/{self.restart}/{self.step}/{self.point}"


# A perturbation [n, 3, S, S] and when it is reached -> the loss's gradient there, [n, 3, S, S].
Gradient = Callable[[Tensor, Moment], Tensor]


def smoothed(gradient_at: Gradient, side: int) -> Gradient:
    """Return gradients convolved with a Gaussian of ``side`` × ``side`` pixels.

    Translation-invariant attack: Dong et al., CVPR 2019. The kernel ends at three sigmas, as
    released; beyond the image the gradient counts as zero.
    """
    line = torch.exp(-torch.linspace(-3, 3, side, dtype=torch.float64).square() / 2)
    kernel = torch.outer(line, line) / line.sum() ** 2

    def at(delta: Tensor, moment: Moment) -> Tensor:
        weights = kernel.to(delta).expand(3, 1, side, side)
        return conv2d(gradient_at(delta, moment), weights, padding="same", groups=3)

    return at


def tuned(gradient_at: Gradient, batch: Batch, samples: int, radius: float) -> Gradient:
    """Return gradients plus what their neighbours had beyond them at the step before.

    Variance tuning: Wang and He, CVPR 2021, Eq. 6 and 7. Neighbours are uniform draws within
    ``radius`` pixels of the point.
    """
    variance: Tensor | None = None

    def at(delta: Tensor, moment: Moment) -> Tensor:
        nonlocal variance
        gradient, around = gradient_at(delta, moment), torch.zeros_like(delta)
        for number in range(1, samples + 1):
            there = replace(moment, point=number)
            noise = (2 * batch.uniform(there.purpose("neighbour")) - 1) * radius
            around += gradient_at(delta + noise, there)
        result = gradient if variance is None else gradient + variance
        variance = around / samples - gradient
        return result

    return at


def accumulated(gradient_at: Gradient, decay: float, ahead: float) -> Gradient:
    """Return the momentum: ``decay`` times the one before, plus the gradient over its size.

    MI-FGSM: Dong et al., CVPR 2018. The size is the mean absolute value over an image, which
    is the paper's L1 norm but for the number of pixels: the signs are the same. With ``ahead``
    pixels the gradient is taken that far along the momentum before (NI-FGSM: Lin et al., ICLR
    2020, who take the mean as well).
    """
    momentum: Tensor | None = None

    def at(delta: Tensor, moment: Moment) -> Tensor:
        nonlocal momentum
        point = delta if momentum is None or not ahead else delta - ahead * momentum
        gradient = gradient_at(point, moment)
        size = gradient.abs().mean(dim=(1, 2, 3), keepdim=True)
        gradient = gradient / size.clamp_min(torch.finfo(gradient.dtype).tiny)
        momentum = gradient if momentum is None else decay * momentum + gradient
        return momentum

    return at
