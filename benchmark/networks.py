"""Running networks on fixed batches, so that the same bits come out whatever surrounds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from hashattack.benchmark.jobs import Compute, Context
from hashattack.benchmark.numerics import memory_format
from hashattack.datasets.base import Images, IntArray, UInt8Array
from hashattack.targets.backbones import TargetError
from hashattack.targets.checkpoints import load_hasher
from hashattack.targets.hasher import Hasher, TargetSpec, sign_codes
from hashattack.targets.training import to_pixels


def batches(
    images: Images, count: int, compute: Compute, context: Context
) -> Iterator[tuple[Tensor, IntArray, int]]:
    """Yield pixels ``[batch, 3, S, S]``, their rows ``[batch]``, and how many of them count.

    Every batch has ``compute.batch`` rows, halved where memory ran out: the last one is padded by
    repeating its last row, so that every pass of a network has one shape. A GPU works while the
    next batch is decoded; on a CPU that would only take its time. Reports progress in images.
    """
    size = max(1, compute.batch >> context.halvings)
    starts = range(0, count, size)
    asked = [np.minimum(np.arange(start, start + size), count - 1) for start in starts]
    reading: Iterator[UInt8Array] = map(images.read, asked)
    if context.device.type != "cpu":
        reading = read_ahead(images.read, asked)
    for start, rows, read in zip(starts, asked, reading, strict=True):
        pixels = to_pixels(read, context.device, getattr(torch, compute.dtype))
        pixels = pixels.contiguous(memory_format=memory_format(compute.precision, context.device))
        yield pixels, rows, min(size, count - start)
        context.progress(min(start + size, count), count, "image")


def first_batch(images: Images, compute: Compute, context: Context) -> tuple[Tensor, IntArray, int]:
    """Return the first of :func:`batches`, of a batch's images, and tell nobody of progress."""
    quiet = replace(context, progress=lambda *_: None)
    return next(batches(images, min(compute.batch, len(images)), compute, quiet))


def read_ahead(
    read: Callable[[IntArray], UInt8Array], asked: Sequence[IntArray]
) -> Iterator[UInt8Array]:
    """Yield what is read of each list of rows, while another thread reads the next."""
    with ThreadPoolExecutor(1) as pool:
        coming = None
        for rows in asked:
            ready, coming = coming, pool.submit(read, rows)
            if ready is not None:
                yield ready.result()
        if coming is not None:
            yield coming.result()


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
    if compute.compiled:
        torch.compiler.reset()  # what this process compiled before must not shape what it runs now
        hasher.trunk.compile(dynamic=False)  # without the slope of tanh, whose values are many
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
