"""Random changes of what the hasher is shown, by (seed, purpose, row) and never by batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from hashattack.attacks.base import Batch
from hashattack.datasets.seeds import generator


def diverse(
    images: Tensor, batch: Batch, purpose: str, probability: float, smallest: float
) -> Tensor:
    """Return images ``[n, 3, S, S]``, each with this probability resized and padded at random.

    Input diversity: Xie et al., CVPR 2019. Sides are uniform from ``smallest`` · S to S, places
    are uniform too, and around it is black. Resizing is bilinear, by a matrix for the lines of each
    image and one for its columns: a GPU repeats the gradients of products bit by bit.
    """
    side, chosen = images.shape[-1], []
    one = torch.eye(side, dtype=torch.float64)
    lines: list[Tensor] = []
    columns: list[Tensor] = []
    for row in batch.rows:
        draw = generator(batch.seed, purpose, int(row))
        chosen.append(draw.random() < probability)
        size = int(draw.integers(math.ceil(smallest * side), side, endpoint=True))
        for matrices in (lines, columns):
            start = int(draw.integers(0, side - size, endpoint=True))
            resize = interpolate(one[None], size=size, mode="linear")[0].T  # [size, S]
            matrices.append(pad(resize, (0, 0, start, side - size - start)))
    left, right = (torch.stack(each).unsqueeze(1).to(images) for each in (lines, columns))
    resized = left @ images @ right.transpose(-1, -2)
    picked = torch.tensor(chosen, device=images.device).view(-1, 1, 1, 1)
    return torch.where(picked, resized, images)
