"""Directions of descent that remember earlier gradients, element by element.

Each function returns what maps the gradient of a step to the direction that the step goes against.
None of them mixes elements, so an image's steps do not depend on the batch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Direction = Callable[[Tensor], Tensor]


def sgd(momentum: float) -> Direction:
    """Return the direction of gradient descent with a momentum, as in ``torch.optim.SGD``."""
    velocity: Tensor | None = None

    def direction(gradient: Tensor) -> Tensor:
        nonlocal velocity
        velocity = gradient.clone() if velocity is None else velocity.mul_(momentum).add_(gradient)
        return velocity

    return direction


def adam(betas: tuple[float, float] = (0.9, 0.999)) -> Direction:
    """Return the direction of Adam at rate 1, as in ``torch.optim.Adam``."""
    first, second = betas
    mean = square = torch.zeros(())
    step = 0

    def direction(gradient: Tensor) -> Tensor:
        nonlocal mean, square, step
        step += 1
        mean = first * mean + (1 - first) * gradient
        square = second * square + (1 - second) * gradient.square()
        spread = (square / (1 - second**step)).sqrt() + 1e-8
        return mean / (1 - first**step) / spread

    return direction
