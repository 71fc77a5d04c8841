"""A plug-in file of other parts than attacks, and changes that break one rule each."""

from __future__ import annotations

PARTS = """
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
import numpy as np
import torch
from torch import nn
from hashattack.attacks.base import TargetCode
from hashattack.datasets.base import ArrayImages, DatasetError, DatasetSpec, RetrievalData, Split
from hashattack.targets.backbones import Backbone
from hashattack.targets.losses import HashingMethod

@dataclass(frozen=True, kw_only=True)
class Mine(HashingMethod):
    name: ClassVar[str] = "Mine"

    def loss(self, z, memory, similar):
        return ((z @ memory.T / z.shape[1] - similar) ** 2).mean()

@dataclass(frozen=True, kw_only=True)
class Flat(Backbone):
    name: ClassVar[str] = "Flat"

    def trunk(self, side):
        return nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(3 * (side // 8) ** 2, 5))

@dataclass(frozen=True, kw_only=True)
class First(TargetCode):
    def codes(self, knowledge, targets, rows, seed):
        return knowledge.train.codes[:1].expand(len(rows), -1)

@dataclass(frozen=True, kw_only=True)
class Few(DatasetSpec):
    name: ClassVar[str] = "few"

    def load(self, cache):
        split = Split(
            ArrayImages(np.zeros((4, 3, 32, 32), dtype=np.uint8)), np.eye(4, dtype=np.uint8)
        )
        return RetrievalData(
            name="few", classes=("a", "b", "c", "d"), side=32, train=split, query=split,
            database=split, fingerprint="few",
        )
"""
# (check, beginning of its message): the part of the file that is replaced, and by what.
CHANGES = {
    ("loss", "its loss is no finite, differentiable number but nan where no pairs are"): (
        "similar) ** 2).mean()",
        "similar) ** 2)[similar > 0].mean()",
    ),
    ("loss", "its loss is no finite, differentiable number but 0.99"): (
        "similar) ** 2).mean()",
        "1) ** 2).mean().detach()",
    ),
    ("loss", "its scale at step 0 is 0, not positive"): (
        "    def loss(",
        "    def scale(self, step):\n        return step\n\n    def loss(",
    ),
    ("loss_repeats", "it moves the global random state of torch"): (
        "(z @ memory",
        "(torch.rand(1) * z @ memory",
    ),
    ("loss_batch_statistics", "its loss is no mean over the batch: "): (
        "similar) ** 2).mean()",
        "similar) ** 2).sum()",
    ),
    ("features", "its features of 4 images have the shape (4, 3, 4, 4), not (4, 48)"): (
        "nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(3 * (side // 8) ** 2, 5))",
        "nn.AvgPool2d(8)",
    ),
    ("features", "no gradient leads back to the pixels"): (
        "nn.AvgPool2d(8), nn",
        "nn.AvgPool2d(8), nn.Threshold(9, 0), nn",
    ),
    ("features", "in evaluation mode features depend on the batch: they differ by up to"): (
        "nn.AvgPool2d(8), nn",
        "nn.AvgPool2d(8), nn.BatchNorm2d(3, track_running_stats=False), nn",
    ),
    ("backbone_batch_statistics", "in training features depend on the batch: they differ by"): (
        "nn.AvgPool2d(8), nn",
        "nn.AvgPool2d(8), nn.BatchNorm2d(3), nn.Dropout(), nn",
    ),
    ("weights", "under one seed it begins with other weights in 2.weight"): (
        "        return nn.Seq",
        "        torch.seed()\n        return nn.Seq",
    ),
    ("run", "First: its target codes are a Tensor (1, 12), not a Tensor (6, 12)"): (
        ".expand(len(rows), -1)",
        "",
    ),
    ("splits", "its train labels are float64 up to 1.0 of shape (4, 4), not uint8 0 and 1 for"): (
        "np.eye(4, dtype=np.uint8)",
        "np.eye(4)",
    ),
    ("splits", "two train images are uint8 of shape (2, 3, 16, 16), not uint8 (2, 3, 32, 32)"): (
        "np.zeros((4, 3, 32, 32)",
        "np.zeros((4, 3, 16, 16)",
    ),
    ("fingerprint", "loaded twice, it has two fingerprints"): (
        'fingerprint="few"',
        "fingerprint=str(id(object())) + str(np.random.default_rng().random())",
    ),
}
