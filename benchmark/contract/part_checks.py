"""The rules for hashing losses, backbones and data sets, as far as they are cheap to check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hashattack.benchmark.contract.attack_checks import ROUNDING, check_value, gap
from hashattack.benchmark.contract.checks import NotCheckedError, StopChecksError, require
from hashattack.benchmark.contract.world import global_random_states
from hashattack.datasets.base import SPLITS, DatasetSpec, RetrievalData
from hashattack.datasets.errors import UserError
from hashattack.datasets.seeds import generator
from hashattack.targets.backbones import Backbone, TargetError
from hashattack.targets.losses import HashingMethod
from hashattack.targets.seeding import seeded

_SIDES = (32, 64, 224)  # of images; the first that a backbone takes
_UNDECLARED = "declare `batch_statistics: ClassVar[bool] = True`"


def _losses(method: HashingMethod, rows: slice = slice(0, 8)) -> dict[str, tuple[Tensor, Tensor]]:
    """Return losses and the outputs ``[n, 12]`` they are of, by which pairs are similar."""
    draws = torch.from_numpy(generator(0, "contract/outputs").uniform(-0.99, 0.99, (40, 12)))
    some = torch.from_numpy(generator(0, "contract/similar").random((8, 32))) < 0.3
    found = {}
    for name, similar in (("some pairs", some), ("no pairs", some & False), ("all", some | True)):
        z = draws[:8][rows].float().requires_grad_()
        found[name] = (method.loss(z, draws[8:].float(), similar[rows].float()), z)
    return found


def check_loss(method: HashingMethod) -> None:
    """Its loss is a finite number with a gradient, and the factor of its logits is positive."""
    for name, (loss, z) in _losses(method).items():
        if loss.shape != () or not bool(loss.isfinite()) or not loss.requires_grad:
            raise StopChecksError(
                f"its loss is no finite, differentiable number but {loss} where {name} are similar"
            )
        (gradient,) = torch.autograd.grad(loss, z, allow_unused=True)
        if gradient is None or not bool(gradient.isfinite().all()):
            raise StopChecksError(f"its gradient is not finite where {name} are similar")
        require(bool(gradient.any()) or name != "some pairs", "its gradient is zero")
    scale, step = min((method.scale(step), step) for step in (0, 1, 10_000))
    require(scale > 0, f"its scale at step {step} is {scale:g}, not positive")


def check_loss_repeats(method: HashingMethod) -> None:
    """The same outputs give the same loss; global random states have no influence."""
    found = []
    for chance in (0, 1):
        with global_random_states(chance) as moved:
            found.append(torch.stack([loss for loss, _ in _losses(method).values()]))
            if states := moved():
                raise StopChecksError(f"it moves the global random state of {' and '.join(states)}")
    require(torch.equal(*found), f"its loss does not repeat: it differs by {gap(*found):.3g}")


def check_loss_batch_statistics(method: HashingMethod) -> None:
    """Its loss is a mean over the batch, or it declares ``batch_statistics``."""
    halves = [_losses(method, rows) for rows in (slice(0, 4), slice(4, 8))]
    for name, (loss, _) in _losses(method).items():
        mean = (halves[0][name][0] + halves[1][name][0]) / 2
        require(
            method.batch_statistics or torch.allclose(loss, mean, rtol=1e-4, atol=1e-6),
            f"its loss is no mean over the batch: {loss.item():.4g} for 8 images, for the same in "
            f"two batches of 4 on average {mean.item():.4g}; {_UNDECLARED}",
        )


def _built(backbone: Backbone) -> tuple[nn.Module, int, Tensor]:
    """Return a trunk in float64, the width it declares, and four images that it takes."""
    for side in _SIDES:
        try:
            with seeded(0, "contract"):
                trunk, width = backbone.build(side)
        except TargetError as error:
            refused = error
            continue
        images = torch.from_numpy(generator(0, "contract/images").random((4, 3, side, side)))
        return trunk.double().eval().requires_grad_(False), width, images
    raise refused


def check_features(backbone: Backbone) -> None:
    """In evaluation mode an image has features of the declared width, its own, with a gradient."""
    trunk, width, images = _built(backbone)
    features = trunk(images.requires_grad_())
    if (found := tuple(features.shape)) != (4, width):
        raise StopChecksError(f"its features of 4 images have the shape {found}, not {(4, width)}")
    most = max(gap(trunk(images[row : row + 1])[0], features[row]) for row in range(4))
    if most > ROUNDING:
        raise StopChecksError(
            f"in evaluation mode features depend on the batch: they differ by up to {most:.3g}"
        )
    (gradient,) = torch.autograd.grad(features[0].sum(), images)
    require(bool(gradient[0].any()), "no gradient leads back to the pixels")


def check_backbone_batch_statistics(backbone: Backbone) -> None:
    """In training an image's features are its own, or it declares ``batch_statistics``."""
    trunk, _, images = _built(backbone)
    found = []
    for others in (images[2:], images[2:] / 2):
        with seeded(0, "contract"):
            found.append(trunk.train()(torch.cat([images[:2], others]))[:2])
    most = gap(*found)
    require(
        backbone.batch_statistics or most <= ROUNDING,
        f"in training features depend on the batch: they differ by up to {most:.3g}; {_UNDECLARED}",
    )


def check_weights(backbone: Backbone) -> None:
    """The same seed gives the same weights."""
    one, other = (_built(backbone)[0].state_dict() for _ in range(2))
    changed = [name for name in one if gap(one[name], other[name])]
    require(not changed, f"under one seed it begins with other weights in {', '.join(changed)}")


@dataclass(frozen=True)
class Source:
    """A data set, and the cache folder that it is built in."""

    spec: DatasetSpec
    cache: Path

    @cached_property
    def data(self) -> RetrievalData:
        """The data.

        Raises:
            NotCheckedError: it cannot be loaded here, for a reason its author foresaw.
        """
        try:
            return self.spec.load(self.cache)
        except UserError as error:
            raise NotCheckedError(f"not loaded: {error}") from None


def check_dataset(source: Source) -> None:
    """Its parameters make the key of a job, and it can be sent to a worker."""
    check_value(source.spec)


def check_splits(source: Source) -> None:
    """Its splits have uint8 images of one side, and a label row of 0 and 1 for each."""
    data, classes = source.data, len(source.data.classes)
    wanted = (2, 3, data.side, data.side)
    for name in SPLITS:
        split, labels = data.split(name), np.asarray(data.split(name).labels)
        require(len(split) > 0, f"its {name} split is empty")
        require(
            labels.shape[1] == classes and labels.dtype == np.uint8 and labels.max() <= 1,
            f"its {name} labels are {labels.dtype} up to {labels.max()} of shape {labels.shape}, "
            f"not uint8 0 and 1 for {classes} classes",
        )
        images = split.images.read(np.array([0, len(split) - 1]))
        require(
            images.shape == wanted and images.dtype == np.uint8,
            f"two {name} images are {images.dtype} of shape {images.shape}, not uint8 {wanted}",
        )


def check_fingerprint(source: Source) -> None:
    """Loaded twice, it has one fingerprint."""
    once, twice = source.data, source.spec.load(source.cache)
    require(once.fingerprint == twice.fingerprint, "loaded twice, it has two fingerprints")


PART_CHECKS: dict[type[Any], list[Callable[[Any], None]]] = {
    HashingMethod: [check_value, check_loss, check_loss_repeats, check_loss_batch_statistics],
    Backbone: [check_value, check_features, check_backbone_batch_statistics, check_weights],
    DatasetSpec: [check_dataset, check_splits, check_fingerprint],
}
