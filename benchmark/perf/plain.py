"""The usual ways, written from the formulae: what the program's own are measured against."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Array = npt.NDArray[Any]


def average_precisions(
    query_codes: Array, database_codes: Array, query_labels: Array, database_labels: Array
) -> Iterator[float]:
    """Yield the AP of one query after the other, ties in the order that ``argsort`` leaves.

    Args:
        query_codes, database_codes: float32 {-1, +1} ``[q, K]`` and ``[n, K]``.
        query_labels, database_labels: integers {0, 1} ``[q, C]`` and ``[n, C]``.
    """
    bits = query_codes.shape[1]
    for code, labels in zip(query_codes, query_labels, strict=True):
        relevant = (labels @ database_labels.T) > 0
        order = np.argsort(0.5 * (bits - code @ database_codes.T))
        ranks = np.flatnonzero(relevant[order]) + 1
        yield float((np.arange(1, len(ranks) + 1) / ranks).mean()) if len(ranks) else 0.0


def craft(hasher: nn.Module, images: Tensor, codes: Tensor, steps: int, epsilon: float) -> Tensor:
    """Return images after sign steps, by a backward pass that reaches the weights, too."""
    delta = torch.zeros_like(images, requires_grad=True)
    for _ in range(steps):
        hasher.zero_grad()
        loss = -(hasher(images + delta) * codes).mean(dim=1).sum()
        loss.backward()
        assert delta.grad is not None
        delta.data = (delta.data - delta.grad.sign() / 255).clamp(-epsilon, epsilon)
        delta.data = (images + delta.data).clamp(0, 1) - images
        delta.grad.zero_()
    return (images + delta).detach()


def image_gradients(hasher: nn.Module, images: Tensor, codes: Tensor, steps: int) -> Tensor:
    """Return the gradient of the images after computing it so often: the floor of every attack."""
    gradient = torch.zeros_like(images)
    for _ in range(steps):
        pixels = images.detach().requires_grad_()
        (gradient,) = torch.autograd.grad((hasher(pixels) * codes).sum(), pixels)
    return gradient
