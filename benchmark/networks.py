"""Running networks on fixed batches, so that the same bits come out whatever surrounds them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from benchmark.jobs import Compute, Context
from benchmark.numerics import memory_format
from datasets.base import Images, IntArray
from targets.backbones import TargetError
from targets.checkpoints import load_hasher
from targets.hasher import Hasher, TargetSpec, sign_codes
from targets.training import to_pixels


def batches(
    images: Images, count: int, compute: Compute, context: Context
) -> Iterator[tuple[Tensor, IntArray, int]]:
    """Yield pixels ``[batch, 3, S, S]``, their rows ``[batch]``, and how many of them count.

    Every batch has ``compute.batch`` rows, halved where memory ran out: the last one is padded by
    repeating its last row, so that every pass of a network has one shape. Reports progress in
    images.
    """
    size = max(1, compute.batch >> context.halvings)
    for start in range(0, count, size):
        rows = np.minimum(np.arange(start, start + size), count - 1)
        pixels = to_pixels(images.read(rows), context.device, getattr(torch, compute.dtype))
        pixels = pixels.contiguous(memory_format=memory_format(compute.precision, context.device))
        yield pixels, rows, min(size, count - start)
        context.progress(min(start + size, count), count, "image")


def input_hasher(spec: TargetSpec, side: int, compute: Compute, context: Context) -> Hasher:
    """Load the hasher that the input job ``target`` trained, frozen, in evaluation mode."""
    hasher = load_hasher(
        spec,
        side,
        context.arrays("target"),
        device=context.device,
        dtype=getattr(torch, compute.dtype),
    )
    hasher.to(memory_format=memory_format(compute.precision, context.device))
    return hasher


@torch.no_grad()
def encode_batch(hasher: Hasher, pixels: Tensor, name: str) -> Tensor:
    """Return int8 codes ``[n, K]`` on the CPU.

    Raises:
        TargetError: the hasher's output is NaN.
    """
    outputs = hasher(pixels)
    if not bool(torch.isfinite(outputs).all()):
        raise TargetError(f"{name} outputs NaN: its training diverged or its weights are broken")
    return sign_codes(outputs).cpu()


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given, so that a clock means something."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
