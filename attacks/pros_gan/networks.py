"""Generator and discriminator of ProS-GAN (paper, Figure 1 and Sections 3.3, 3.4 and 4.2).

``width`` scales the channels of the layers that take images (64 in the paper); ``side`` is a
multiple of 32. The label decoder keeps the paper's channels at every width: it is cheap, and a
narrower one cannot draw a label. Images are in [−1, 1] here.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from hashattack.attacks.base import Arrays, AttackError
from hashattack.attacks.pros_gan.prototype_net import SEMANTIC_WIDTH


def _normed(convolution: nn.Module, channels: int) -> list[nn.Module]:
    return [convolution, nn.InstanceNorm2d(channels), nn.ReLU()]


def _down(before: int, after: int) -> list[nn.Module]:
    return _normed(nn.Conv2d(before, after, 4, stride=2, padding=1), after)


def _up(before: int, after: int) -> list[nn.Module]:
    up = nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False)
    return _normed(up, after)


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
            *_normed(nn.Conv2d(channels, channels, 3, padding=1, bias=False), channels),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return x plus its residual."""
        out: Tensor = x + self.block(x)
        return out


class GeneratorNetwork(nn.Module):
    """The parts of a generator: label decoder, G_xt up to its last convolution, and that one.

    ``channels`` are those of what the body takes. The last convolution also takes the images.
    """

    def __init__(self, side: int, width: int, channels: int) -> None:
        super().__init__()
        self.side = side
        self.label_decoder = LabelDecoder(side)
        self.body = nn.Sequential(
            *_normed(nn.Conv2d(channels, width, 7, padding=3), width),
            *_down(width, 2 * width),
            *_down(2 * width, 4 * width),
            *(Residual(4 * width) for _ in range(6)),
            *_up(4 * width, 2 * width),
            *_up(2 * width, width),
        )
        self.last = nn.Conv2d(width + 3, 3, 3, padding=1, bias=False)

    def decode(self, semantic: Tensor, images: Tensor) -> Tensor:
        """Return the label image for images of the generator's side.

        Raises:
            AttackError: images of another side.
        """
        if images.shape[-1] != self.side:
            raise AttackError(
                f"the generator was fitted for images of side {self.side}, not {images.shape[-1]}"
            )
        image: Tensor = self.label_decoder(semantic)
        return image


class Generator(GeneratorNetwork):
    """From image and target semantics to an image, before the final tanh."""

    def __init__(self, side: int, width: int = 64) -> None:
        super().__init__(side, width, channels=6)

    def forward(self, semantic: Tensor, images: Tensor) -> Tensor:
        """Return unbounded outputs ``[n, 3, S, S]`` for images in [−1, 1]."""
        x = self.body(torch.cat([self.decode(semantic, images), images], dim=1))
        out: Tensor = self.last(torch.cat([x, images], dim=1))
        return out


def side_of(state: Arrays) -> int:
    """Return the side of the images that a generator with this state takes."""
    cells: int = state["label_decoder.dense.0.bias"].shape[0] // 128
    return 16 * math.isqrt(cells)


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
