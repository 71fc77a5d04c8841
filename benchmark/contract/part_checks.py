"""What hashing losses, backbones and data sets promise, as far as it is cheap to see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from hashattack.benchmark.contract.checks import Check, Skipped
from hashattack.benchmark.contract.crafted import gap
from hashattack.benchmark.contract.declaration import key_fault, pickle_fault
from hashattack.benchmark.contract.portraits import chances
from hashattack.datasets.base import SPLITS, DatasetSpec, RetrievalData
from hashattack.datasets.errors import UserError
from hashattack.datasets.seeds import generator
from hashattack.targets.backbones import Backbone, TargetError
from hashattack.targets.losses import HashingMethod
from hashattack.targets.seeding import seeded

_SIDES = (32, 64, 224)  # of images; the first that a backbone takes
_ROUNDING = 1e-9  # float64


def loss_is_finite(method: HashingMethod) -> str | None:
    """A number, whoever is similar to whom, whose gradient reaches the outputs."""
    for name, similar in _similarities():
        z, memory = _outputs()
        loss = method.loss(z.requires_grad_(), memory, similar)
        if loss.shape != () or not bool(torch.isfinite(loss)):
            return f"its loss is not a finite number but {loss.tolist()} where {name}"
        if not loss.requires_grad:
            return "its loss is not differentiable"
        (gradient,) = torch.autograd.grad(loss, z, allow_unused=True)
        if gradient is None or not bool(torch.isfinite(gradient).all()):
            return f"its gradient is missing or not finite where {name}"
        if name == "some pairs are similar" and not bool(gradient.any()):
            return "its gradient is zero"
    return None


def loss_repeats(method: HashingMethod) -> str | None:
    """The same outputs, the same loss; a shared random state has no part in it."""
    found = []
    for chance in (0, 1):
        with chances(chance) as moved, torch.no_grad():
            found.append([method.loss(*_outputs(), similar) for _, similar in _similarities()])
            if states := moved():
                return f"it moves the global random state of {' and '.join(states)}"
    apart = max(gap(*pair) for pair in zip(*found, strict=True))
    return f"its loss does not repeat: it differs by {apart:.3g}" if apart else None


def scale_is_positive(method: HashingMethod) -> str | None:
    """The factor of the logit."""
    low = min((method.scale(step), step) for step in (0, 1, 10_000))
    return None if low[0] > 0 else f"its scale at step {low[1]} is {low[0]:g}, not positive"


def _outputs() -> tuple[Tensor, Tensor]:
    draws = generator(0, "contract/outputs").uniform(-0.99, 0.99, (40, 12))
    outputs = torch.from_numpy(draws).float()
    return outputs[:8].clone(), outputs[8:]


def _similarities() -> Iterator[tuple[str, Tensor]]:
    draws = torch.from_numpy(generator(0, "contract/similar").random((8, 32)))
    yield "some pairs are similar", (draws < 0.3).float()
    yield "no pair is similar", torch.zeros(8, 32)
    yield "every pair is similar", torch.ones(8, 32)


def builds(backbone: Backbone) -> str | None:
    """Features as many as it says, which the hash layer takes as they are."""
    trunk, width, side = _built(backbone)
    found = tuple(trunk(_images(side)).shape)
    if found == (4, width):
        return None
    return f"its features of 4 images have the shape {found}, not {(4, width)}"


def features_stand_alone(backbone: Backbone) -> str | None:
    """In evaluation mode an image's features are its own, and lead back to its pixels."""
    trunk, _, side = _built(backbone)
    images = _images(side).requires_grad_()
    whole = trunk(images)
    most = max(gap(trunk(images[row : row + 1])[0], whole[row]) for row in range(4))
    if most > _ROUNDING:
        return f"an image's features depend on its batch: they differ by up to {most:.3g}"
    (gradient,) = torch.autograd.grad(whole[0].sum(), images)
    return None if bool(gradient[0].any()) else "no gradient leads back to the pixels"


def weights_repeat(backbone: Backbone) -> str | None:
    """Its random weights are a function of the seed."""
    one, other = (_built(backbone)[0].state_dict() for _ in range(2))
    apart = [name for name in one if gap(one[name], other[name])]
    return f"under one seed it begins with other weights: {apart[0]} differs" if apart else None


def _built(backbone: Backbone) -> tuple[nn.Module, int, int]:
    for side in _SIDES:
        try:
            with seeded(0, "contract"):
                trunk, width = backbone.build(side)
        except TargetError as error:
            refused = error
            continue
        return trunk.double().eval().requires_grad_(False), width, side
    raise refused


def _images(side: int) -> Tensor:
    return torch.from_numpy(generator(0, "contract/images").random((4, 3, side, side)))


@dataclass(frozen=True)
class Source:
    """A data set to examine, and the cache it is built in."""

    spec: DatasetSpec
    cache: Path

    def load(self) -> RetrievalData:
        """Load it.

        Raises:
            Skipped: it cannot be loaded here, for a reason its author foresaw.
        """
        try:
            return self.spec.load(self.cache)
        except UserError as error:
            raise Skipped(f"not loaded: {error}") from None


def loads(source: Source) -> str | None:
    """Images and label rows as the rooms expect them."""
    data = source.load()
    for name in SPLITS:
        split, classes = data.split(name), len(data.classes)
        if not len(split):
            return f"its {name} split is empty"
        labels = np.asarray(split.labels)
        if labels.shape[1] != classes or labels.dtype != np.uint8 or labels.max() > 1:
            return (
                f"its {name} labels are {labels.dtype} up to {labels.max()} of shape "
                f"{labels.shape}, not uint8 0 and 1 for {classes} classes"
            )
        images = split.images.read(np.array([0, len(split) - 1]))
        wanted = (2, 3, data.side, data.side)
        if images.shape != wanted or images.dtype != np.uint8:
            return (
                f"two {name} images are {images.dtype} of shape {images.shape}, not uint8 {wanted}"
            )
    return None


def fingerprint_repeats(source: Source) -> str | None:
    """Keys of jobs stand on it."""
    one, other = source.load().fingerprint, source.load().fingerprint
    return None if one == other else "loaded twice, it has two fingerprints"


METHOD_CHECKS: tuple[Check[HashingMethod], ...] = (
    Check("parameters", "its parameters make a job key", key_fault),
    Check("worker", "it can be sent to a worker", pickle_fault),
    Check("finite", "a finite loss with a gradient", loss_is_finite),
    Check("repeats", "the same loss for the same outputs", loss_repeats, needs=("finite",)),
    Check("scale", "a positive scale", scale_is_positive, needs=("finite",)),
)
BACKBONE_CHECKS: tuple[Check[Backbone], ...] = (
    Check("parameters", "its parameters make a job key", key_fault),
    Check("worker", "it can be sent to a worker", pickle_fault),
    Check("builds", "features of the width it says", builds),
    Check(
        "batch",
        "an image's features do not depend on its batch",
        features_stand_alone,
        needs=("builds",),
    ),
    Check("repeats", "the same weights under a seed", weights_repeat, needs=("builds",)),
)
DATASET_CHECKS: tuple[Check[Source], ...] = (
    Check("parameters", "its parameters make a job key", lambda source: key_fault(source.spec)),
    Check("worker", "it can be sent to a worker", lambda source: pickle_fault(source.spec)),
    Check("loads", "images and labels of the right types", loads),
    Check("repeats", "the same fingerprint each time", fingerprint_repeats, needs=("loads",)),
)
