"""The one training loop: hash training of every method, and pretraining of trunks.

Formulae of the ProS-GAN paper's released code: a memory of all training outputs, filled before
the loss, dropout on, the last epoch kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from hashattack.datasets.base import Split, UInt8Array
from hashattack.datasets.seeds import generator
from hashattack.targets.backbones import Backbone, TargetError
from hashattack.targets.hasher import Hasher, Normalise, Recipe, TargetSpec
from hashattack.targets.seeding import seeded

Progress = Callable[[int, int, str], None]  # done, total, unit
# Pixels [n, 3, S, S], their rows [n] and the number of the step -> the mean loss, a scalar.
BatchLoss = Callable[[Tensor, Tensor, int], Tensor]


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """How a training runs, apart from its recipe.

    ``parts`` are pieces a batch is split into whose gradients add up, where memory is short; only
    for networks without batch statistics.
    """

    seed: int  # of the order and the dropout
    device: torch.device
    progress: Progress  # called after every step
    parts: int = 1


def to_pixels(images: UInt8Array, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return uint8 images as floating-point pixels in [0, 1] on the device.

    Images that are such pixels already only get the device and the dtype.
    """
    values = torch.from_numpy(images)
    if device.type == "cuda":  # from pinned memory the copy need not be waited for
        values = values.pin_memory()
    pixels = values.to(device, non_blocking=True).to(dtype)
    return pixels if values.is_floating_point() else pixels / 255


def _optimiser(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    weights, rate, decay = network.parameters(), recipe.learning_rate, recipe.weight_decay
    if recipe.optimiser == "adam":
        return torch.optim.Adam(weights, rate, (recipe.momentum, 0.999), weight_decay=decay)
    return torch.optim.SGD(weights, rate, recipe.momentum, weight_decay=decay)


def optimise(
    network: nn.Module,
    split: Split,
    loss_of: BatchLoss,
    recipe: Recipe,
    run: TrainingRun,
    prepare: Callable[[Tensor, Tensor], None] | None = None,
) -> list[float]:
    """Train ``network`` in place and return the mean loss of each epoch.

    It is in evaluation mode at the end. ``prepare`` sees all parts, pixels and rows, before the
    first loss of a batch that is split.

    Raises:
        TargetError: the loss became NaN or infinite, with the epoch it happened in.
    """
    optimiser = _optimiser(network, recipe)
    batches = -(-len(split) // recipe.batch)
    curve: list[float] = []
    network.train()
    with seeded(run.seed, "training"):
        for epoch in range(recipe.epochs):
            order = generator(run.seed, "epoch-order", epoch).permutation(len(split))
            total = 0.0
            for index in range(batches):
                rows = order[index * recipe.batch : (index + 1) * recipe.batch]
                pixels = to_pixels(split.images.read(rows), run.device, torch.float32)
                step = epoch * batches + index
                for group in optimiser.param_groups:
                    group["lr"] = recipe.rate(step, batches)
                optimiser.zero_grad()
                split_rows = np.array_split(np.arange(len(rows)), min(run.parts, len(rows)))
                if len(split_rows) > 1 and prepare is not None:
                    with torch.no_grad(), torch.random.fork_rng():  # the same dropout comes again
                        for part in split_rows:
                            prepare(pixels[part], torch.from_numpy(rows[part]).to(run.device))
                for part in split_rows:
                    loss = loss_of(pixels[part], torch.from_numpy(rows[part]).to(run.device), step)
                    (loss * (len(part) / len(rows))).backward()  # type: ignore[no-untyped-call]
                    total += loss.item() * len(part)
                optimiser.step()
                run.progress(step + 1, recipe.epochs * batches, "step")
            curve.append(total / len(split))
            if not np.isfinite(curve[-1]):
                raise TargetError(
                    f"the training loss became {curve[-1]} in epoch {epoch + 1} of "
                    f"{recipe.epochs}; lower learning_rate ({recipe.learning_rate})"
                )
    network.eval()
    return curve


def train_hasher(hasher: Hasher, spec: TargetSpec, split: Split, run: TrainingRun) -> list[float]:
    """Train a hasher in place with its method's loss; returns the loss curve."""
    labels = torch.from_numpy(np.array(split.labels)).to(run.device, torch.float32)
    memory = torch.zeros(len(split), spec.bits, device=run.device)

    def keep(pixels: Tensor, rows: Tensor) -> None:
        memory[rows] = hasher(pixels)

    def loss_of(pixels: Tensor, rows: Tensor, step: int) -> Tensor:
        hasher.scale.fill_(spec.method.scale(step))
        z: Tensor = hasher(pixels)
        memory[rows] = z.detach()
        similar = (labels[rows] @ labels.T > 0).to(z.dtype)
        return spec.method.loss(z, memory, similar)

    return optimise(hasher, split, loss_of, spec.training, run, prepare=keep)


def pretrain_trunk(
    backbone: Backbone,
    split: Split,
    side: int,
    recipe: Recipe,
    run: TrainingRun,
    normalise: Normalise = "none",
) -> tuple[nn.Module, list[float]]:
    """Return a trunk trained on the data set's own labels, and its loss curve.

    The stand-in for ImageNet weights: multi-label binary cross-entropy through a linear layer that
    is thrown away. ``normalise`` is that of the hashers it is for.
    """
    with seeded(run.seed, f"pretrain/{backbone.name}"):
        trunk, width = backbone.build(side)
        network = Hasher(trunk, width, split.labels.shape[1], normalise).to(run.device)
    labels = torch.from_numpy(np.array(split.labels)).to(run.device, torch.float32)

    def loss_of(pixels: Tensor, rows: Tensor, step: int) -> Tensor:  # noqa: ARG001 - no schedule
        return binary_cross_entropy_with_logits(network.logits(pixels), labels[rows])

    return trunk, optimise(network, split, loss_of, recipe, run)
