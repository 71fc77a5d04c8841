"""Generator and discriminator of ProS-GAN (paper, Figure 2 and Supplement A).

``width`` scales the channel counts of what sees images (64 in the paper); ``side`` is a multiple
of 32. The label decoder keeps the paper's channels at every width: it is cheap, and a narrow one
cannot draw a label. Images are in [−1, 1] here.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from attacks.pros_gan.prototype_net import SEMANTIC_WIDTH


def _down(before: int, after: int) -> list[nn.Module]:
    return [
        nn.Conv2d(before, after, 4, stride=2, padding=1),
        nn.InstanceNorm2d(after),
        nn.ReLU(),
    ]


def _up(before: int, after: int) -> list[nn.Module]:
    return [
        nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False),
        nn.InstanceNorm2d(after),
        nn.ReLU(),
    ]


class LabelDecoder(nn.Module):
    """From the semantic vector r ``[n, 512]`` to a label image ``[n, 3, side, side]``."""

    def __init__(self, side: int) -> None:
        super().__init__()
        channels = (128, 64, 32, 16, 8)
        self.shape = (channels[0], side // 16, side // 16)
        self.dense = nn.Sequential(
            nn.Linear(SEMANTIC_WIDTH, channels[0] * (side // 16) ** 2), nn.ReLU()
        )
        ups = [layer for before, after in pairwise(channels) for layer in _up(before, after)]
        self.grow = nn.Sequential(*ups, nn.Conv2d(channels[-1], 3, 3, padding=1, bias=False))

    def forward(self, semantic: Tensor) -> Tensor:
        """Return the label image; no activation."""
        image: Tensor = self.grow(self.dense(semantic).view(-1, *self.shape))
        return image


class Residual(nn.Module):
    """conv3 – IN – ReLU – conv3 – IN, added to its input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.InstanceNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return x plus its residual."""
        out: Tensor = x + self.block(x)
        return out


class Generator(nn.Module):
    """From image and target semantics to an image; what comes before the final tanh.

    Two forms go beyond the paper. ``label_skip`` adds the label image to the output: a
    perturbation that serves every image comes first, and the body adds what the image at hand
    needs. ``guided`` also shows the body a guide ``[n, 3, S, S]`` and adds that too.
    """

    def __init__(
        self, side: int, width: int = 64, *, label_skip: bool = False, guided: bool = False
    ) -> None:
        super().__init__()
        self.label_skip = label_skip
        self.guided = guided
        self.label_decoder = LabelDecoder(side)
        self.body = nn.Sequential(
            nn.Conv2d(9 if guided else 6, width, 7, padding=3),
            nn.InstanceNorm2d(width),
            nn.ReLU(),
            *_down(width, 2 * width),
            *_down(2 * width, 4 * width),
            *(Residual(4 * width) for _ in range(6)),
            *_up(4 * width, 2 * width),
            *_up(2 * width, width),
        )
        self.last = nn.Conv2d(width + 3, 3, 3, padding=1, bias=False)

    def forward(self, semantic: Tensor, images: Tensor, guide: Tensor | None = None) -> Tensor:
        """Return unbounded outputs ``[n, 3, S, S]`` for images in [−1, 1]."""
        label = self.label_decoder(semantic)
        seen = [label, images] if guide is None else [label, images, guide]
        x = self.body(torch.cat(seen, dim=1))
        out: Tensor = self.last(torch.cat([x, images], dim=1))
        if self.label_skip:
            out = out + label
        return out if guide is None else out + guide


class Discriminator(nn.Module):
    """Five strided convolutions and one over what remains: class outputs, then real or fake."""

    def __init__(
        self, side: int, outputs: int, width: int = 64, *, spectral: bool, sigmoid: bool
    ) -> None:
        super().__init__()
        channels = [3, *(width << step for step in range(5))]
        layers: list[nn.Module] = []
        for before, after in pairwise(channels):
            convolution = nn.Conv2d(before, after, 4, stride=2, padding=1)
            layers += [spectral_norm(convolution) if spectral else convolution, nn.LeakyReLU(0.01)]
        layers += [nn.Conv2d(channels[-1], outputs, side // 32, bias=False), nn.Flatten()]
        self.body = nn.Sequential(*layers, *([nn.Sigmoid()] if sigmoid else []))

    def forward(self, images: Tensor) -> Tensor:
        """Return ``[n, outputs]`` for images in [−1, 1]; the last output is fakeness."""
        out: Tensor = self.body(images)
        return out
