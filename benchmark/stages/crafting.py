"""Crafting: the queries perturbed batch by batch, timed, and copied before anybody can touch them.

What runs untimed beforehand sees mirror images, so that nothing kept from it is of use; an attack
whose answers to them and to the images themselves are the same looks its answers up.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn

from attacks.base import Batch, Perturb
from benchmark.audit import InvalidAttackError, check_fresh
from benchmark.jobs import Compute, Context
from benchmark.networks import batches, synchronise
from datasets.base import Images, UInt8Array

_PROBED = 2  # images


@dataclass(frozen=True)
class Assignment:
    """What is to be crafted: images, target label rows ``[q, C]``, target codes ``[q, K]``."""

    images: Images
    targets: UInt8Array
    codes: Tensor | None
    epsilon: float | None
    seed: int


def craft_images(
    perturb: Perturb,
    asked: Assignment,
    compute: Compute,
    context: Context,
    warm: Perturb | None = None,
) -> tuple[npt.NDArray[Any], float]:
    """Perturb the queries batch by batch and time nothing else.

    ``warm`` makes the first pass, which pays for allocation and kernel selection, untimed; without
    one it is the attack itself, on mirror images.

    Returns:
        The images ``[q, 3, S, S]`` and the seconds an image.

    Raises:
        InvalidAttackError: no tensors, or images that do not depend on what was given.
    """
    crafted: list[Tensor] = []
    seconds, computed = 0.0, 0
    for pixels, rows, count in batches(asked.images, len(asked.targets), compute, context):
        batch = Batch(
            images=pixels,
            codes=None if asked.codes is None else asked.codes[rows].to(context.device),
            targets=torch.from_numpy(asked.targets[rows]).to(context.device),
            rows=rows,
            seed=asked.seed,
        )
        probed, told = pixels[:_PROBED].clone(), None
        if not crafted:
            told = _rehearse(perturb, batch, warm, compiled=compute.compiled)
        synchronise(context.device)
        began = time.perf_counter()
        answer = perturb(batch)
        synchronise(context.device)
        seconds += time.perf_counter() - began
        adversarial = _copied(answer)
        if told is not None:
            check_fresh(probed, adversarial[:_PROBED], told, asked.epsilon)
        crafted.append(adversarial[:count].to(pixels.dtype).cpu())
        computed += len(pixels)  # the padded rows took their time too
    return torch.cat(crafted).numpy(), seconds / computed


def _rehearse(perturb: Perturb, batch: Batch, warm: Perturb | None, *, compiled: bool) -> Tensor:
    """Make the untimed pass; return what the attack makes of the first images' mirror images."""
    mirrored = _mirrored(batch, len(batch.rows) if warm is None else _PROBED)
    # A batch of another size would be compiled anew.
    eager = torch.compiler.set_stance("force_eager") if compiled and warm else None
    with eager or contextlib.nullcontext():
        told = _copied(perturb(mirrored))[:_PROBED]
    if warm is not None:
        warm(batch)
    return told


def _mirrored(batch: Batch, count: int) -> Batch:
    """Return the first images of a batch mirrored, laid out as they are, all else the same."""
    images = batch.images[:count]
    return replace(
        batch,
        images=torch.empty_like(images).copy_(images.flip(-1)),
        codes=None if batch.codes is None else batch.codes[:count].clone(),
        targets=batch.targets[:count].clone(),
        rows=batch.rows[:count].copy(),
    )


def _copied(answer: Tensor) -> Tensor:
    """Return what an attack answered as a tensor that it has no hold of.

    Raises:
        InvalidAttackError: it is no tensor, or one with a mind of its own.
    """
    if type(answer) not in (Tensor, nn.Parameter):
        raise InvalidAttackError(
            f"the attack returned {type(answer).__qualname__}, expected a tensor"
        )
    return answer.detach().clone()
