"""Backbones: the networks below the hash layer, on torchvision, with the heads of the paper.

A trunk maps pixels ``[n, 3, side, side]`` to features ``[n, width]``; its tensors carry
torchvision's names, so ImageNet weights load by name. At sides other than 224 the first fully
connected layer takes whatever map the convolutions leave.

torchvision is imported where one of its networks is built: it takes almost as long as torch, and
most processes of a run build none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from hashattack.datasets.errors import UserError

HashInit = Literal["linear", "normal"]


class TargetError(UserError):
    """A target hasher that cannot be built, loaded or trained; the text says what to do."""


@dataclass(frozen=True, kw_only=True)
class Backbone(ABC):
    """A trunk's recipe: a frozen value whose fields are its widths."""

    name: ClassVar[str]
    hash_init: ClassVar[HashInit] = "linear"
    imagenet_file: ClassVar[str | None] = None  # the file's name in torchvision's cache
    batch_statistics: ClassVar[bool] = False  # whether training normalises by its batch
    # What foreign state dicts call our tensors: pattern and replacement, the first that matches.
    aliases: ClassVar[tuple[tuple[str, str], ...]] = ()

    @abstractmethod
    def trunk(self, side: int) -> nn.Module:
        """Return the network, pixels ``[n, 3, side, side]`` to features ``[n, width]``."""

    def build(self, side: int) -> tuple[nn.Module, int]:
        """Return the trunk and its feature width.

        Raises:
            TargetError: images of this side are too small for the network.
        """
        try:
            trunk = self.trunk(side)
            width = _features(trunk, side)
        except RuntimeError as error:
            raise TargetError(f"{self.name} cannot take images of side {side}: {error}") from error
        return trunk, width


def _features(module: nn.Module, side: int) -> int:
    """Return the number of features after flattening for one image of that side."""
    training = module.training
    with torch.no_grad():
        shape: Tensor = module.eval()(torch.zeros(1, 3, side, side))
    module.train(training)
    return shape.flatten(1).shape[1]


def _with_head(features: nn.Module, side: int, width: int, *, dropout_first: bool) -> nn.Module:
    """Return the features and two fully connected layers with ReLU, each with a dropout."""
    head: list[nn.Module] = []
    for inputs in (_features(features, side), width):
        layer = [nn.Linear(inputs, width), nn.ReLU()]
        head += [nn.Dropout(), *layer] if dropout_first else [*layer, nn.Dropout()]
    parts = {"features": features, "flatten": nn.Flatten(), "classifier": nn.Sequential(*head)}
    return _kaiming(nn.Sequential(OrderedDict(parts)))


def _kaiming(trunk: nn.Module) -> nn.Module:
    """Initialise for ReLU. torch's default shrinks the signal: without batch norm, no training."""
    for layer in trunk.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return trunk


# torchvision's layout with a hash layer for its last; that of the released code's HashNet classes,
# whose layers stand a second time in a list; and DeepHash-pytorch's, with the head in one list.
_HEAD_ALIASES = (
    (r"^feature_layers\.0\.", "features."),
    (r"^(feature_layers\.1|classifier)\.classifier(\d)\.", r"classifier.\2."),
    (r"^cl1\.", "classifier.0."),
    (r"^(classifier|hash_layer)\.6\.", "hash_layer."),
    (r"^hash_layer\.(\d)\.", r"classifier.\1."),
)
_STAGE_ALIASES = (
    (r"^feature_layers\.0\.", "conv1."),
    (r"^feature_layers\.1\.", "bn1."),
    *((rf"^feature_layers\.{number + 3}\.", f"layer{number}.") for number in (1, 2, 3, 4)),
    (r"^fc\.", "hash_layer."),
)


@dataclass(frozen=True, kw_only=True)
class AlexNet(Backbone):
    """AlexNet with two fully connected layers of ``head_width`` (4096 in the paper)."""

    name: ClassVar[str] = "AlexNet"
    imagenet_file: ClassVar[str | None] = "alexnet-owt-7be5be79.pth"
    aliases: ClassVar[tuple[tuple[str, str], ...]] = _HEAD_ALIASES
    head_width: int = 4096

    def trunk(self, side: int) -> nn.Module:
        """Return features and head: Dropout, FC, ReLU, Dropout, FC, ReLU."""
        from torchvision import models

        return _with_head(models.alexnet().features, side, self.head_width, dropout_first=True)


@dataclass(frozen=True, kw_only=True)
class VGG11(Backbone):
    """VGG11 with two fully connected layers of ``head_width`` (4096 in the paper)."""

    name: ClassVar[str] = "VGG11"
    imagenet_file: ClassVar[str | None] = "vgg11-8a719046.pth"
    aliases: ClassVar[tuple[tuple[str, str], ...]] = _HEAD_ALIASES
    head_width: int = 4096

    def trunk(self, side: int) -> nn.Module:
        """Return features and head: FC, ReLU, Dropout, FC, ReLU, Dropout."""
        from torchvision import models

        return _with_head(models.vgg11().features, side, self.head_width, dropout_first=False)


@dataclass(frozen=True, kw_only=True)
class ResNet18(Backbone):
    """ResNet18 up to its average pooling (512 features)."""

    name: ClassVar[str] = "ResNet18"
    batch_statistics: ClassVar[bool] = True
    hash_init: ClassVar[HashInit] = "normal"
    imagenet_file: ClassVar[str | None] = "resnet18-f37072fd.pth"
    aliases: ClassVar[tuple[tuple[str, str], ...]] = _STAGE_ALIASES

    def trunk(self, side: int) -> nn.Module:  # noqa: ARG002 - global pooling takes any side
        """Return the network without its classification layer."""
        from torchvision import models

        network: nn.Module = models.resnet18()
        network.fc = nn.Identity()
        return network


@dataclass(frozen=True, kw_only=True)
class Tiny(Backbone):
    """Four small convolutions for tests: trains in seconds, a checkpoint is under 250 kB."""

    name: ClassVar[str] = "Tiny"
    batch_statistics: ClassVar[bool] = True
    width: int = 16

    def trunk(self, side: int) -> nn.Module:
        """Return four strided blocks of conv, batch norm, ReLU, then max pooling.

        By the size of the map that is left: the adaptive one warns that on a GPU it may not repeat.
        """
        widths = [3, self.width, self.width * 2, self.width * 2, self.width * 4]
        blocks = [
            layer
            for before, after in pairwise(widths)
            for layer in (
                nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            )
        ]
        return nn.Sequential(*blocks, nn.MaxPool2d(-(-side // 16)), nn.Flatten())
