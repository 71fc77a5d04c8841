"""Running networks so that the same bits come out: precision, memory format, fixed batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from time import perf_counter  # the function itself: the module's is anybody's to replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hashattack.benchmark.jobs import Compute, Context, Place, Precision
from hashattack.datasets.base import Images, IntArray, UInt8Array
from hashattack.datasets.texts import error_line
from hashattack.targets.backbones import TargetError
from hashattack.targets.checkpoints import load_hasher
from hashattack.targets.ensemble import SourceSpec
from hashattack.targets.hasher import Hasher, sign_codes
from hashattack.targets.training import to_pixels

_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")


@contextmanager
def numerics(precision: Precision, device: torch.device) -> Iterator[None]:
    """Compute with this precision inside the block, on a GPU with algorithms that repeat.

    ``tf32`` is for a GPU's tensor cores, where torch has it for convolutions by default; ``full``
    switches it off. Operations without a deterministic form warn in the job's log.
    """
    with ExitStack() as stack:
        if device.type == "cuda":
            tf32 = precision == "tf32"
            stack.enter_context(
                torch.backends.cudnn.flags(
                    enabled=True, benchmark=False, deterministic=True, allow_tf32=tf32
                )
            )
            before = torch.get_float32_matmul_precision()
            stack.callback(torch.set_float32_matmul_precision, before)
            torch.set_float32_matmul_precision("high" if tf32 else "highest")
            strict = torch.are_deterministic_algorithms_enabled()
            stack.callback(torch.use_deterministic_algorithms, strict)
            torch.use_deterministic_algorithms(True, warn_only=True)
            # Deterministic mode also fills fresh memory, a kernel each time; no job needs that.
            mode: Any = torch.utils.deterministic
            fills = mode.fill_uninitialized_memory
            stack.callback(setattr, mode, "fill_uninitialized_memory", fills)
            mode.fill_uninitialized_memory = False
        if precision == "bfloat16":
            # Cached copies of weights would hide from a training that its weights change.
            stack.enter_context(
                torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False)
            )
        yield


def memory_format(precision: Precision, device: torch.device) -> torch.memory_format:
    """Return how images lie in memory: channels last, except for full precision on a GPU.

    On a CPU a gradient of VGG11 at 224 pixels takes three quarters of the time so, in bfloat16
    half of it; on a GPU only tensor cores profit.
    """
    if device.type == "cuda" and precision == "full":
        return torch.contiguous_format
    return torch.channels_last


def out_of_memory(error: BaseException) -> bool:
    """Return whether a computation failed because its batch does not fit the memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    said = error_line(error)
    return isinstance(error, RuntimeError) and any(text in said for text in _NO_MEMORY)


def batches(
    images: Images, count: int, compute: Compute, place: Place
) -> Iterator[tuple[Tensor, IntArray, int]]:
    """Yield pixels ``[batch, 3, S, S]``, their rows ``[batch]``, and how many of them count.

    Every batch has ``compute.batch`` rows, halved where memory ran out: the last one is padded by
    repeating its last row, so that all passes of a network have one shape. A GPU works while the
    next batch is decoded; a CPU has no time to spare for that. Reports progress in images.
    """
    size = max(1, compute.batch >> place.halvings)
    starts = range(0, count, size)
    requested = [np.minimum(np.arange(start, start + size), count - 1) for start in starts]
    reading: Iterator[UInt8Array] = map(images.read, requested)
    if place.device.type != "cpu":
        reading = read_ahead(images.read, requested)
    for start, rows, read in zip(starts, requested, reading, strict=True):
        pixels = to_pixels(read, place.device, getattr(torch, compute.dtype))
        pixels = pixels.contiguous(memory_format=memory_format(compute.precision, place.device))
        yield pixels, rows, min(size, count - start)
        place.progress(min(start + size, count), count, "image")


def first_batch(images: Images, compute: Compute, place: Place) -> tuple[Tensor, IntArray, int]:
    """Return the first of :func:`batches`, with no more images than a batch; no progress."""
    quiet = Place(device=place.device, halvings=place.halvings)
    return next(batches(images, min(compute.batch, len(images)), compute, quiet))


def read_ahead(
    read: Callable[[IntArray], UInt8Array], requested: Sequence[IntArray]
) -> Iterator[UInt8Array]:
    """Yield the images of each list of rows, while another thread reads the next."""
    with ThreadPoolExecutor(1) as pool:
        coming = None
        for rows in requested:
            ready, coming = coming, pool.submit(read, rows)
            if ready is not None:
                yield ready.result()
        if coming is not None:
            yield coming.result()


def input_hasher(spec: SourceSpec, side: int, compute: Compute, context: Context) -> Hasher:
    """Load the hasher of the input job ``target``, frozen, in evaluation mode."""
    arrays, dtype = context.arrays("target"), getattr(torch, compute.dtype)
    hasher = load_hasher(spec, side, arrays, device=context.device, dtype=dtype)
    hasher.to(memory_format=memory_format(compute.precision, context.device))
    if compute.compiled:
        torch.compiler.reset()  # what this process compiled before must not shape what it runs now
        for trunk in hasher.trunks:
            trunk.compile(dynamic=False)  # without the slope of tanh, whose values are many
    return hasher


@torch.no_grad()
def encode_batch(hasher: Hasher, pixels: Tensor) -> Tensor:
    """Return int8 codes ``[n, K]`` on the CPU.

    Raises:
        TargetError: the hasher's output is NaN.
    """
    outputs = hasher(pixels)
    if not bool(torch.isfinite(outputs).all()):
        name = hasher.name or "the hasher"
        raise TargetError(f"{name} outputs NaN: its training diverged or its weights are broken")
    return sign_codes(outputs).cpu()


def encode_images(hasher: Hasher, images: Images, compute: Compute, place: Place) -> Tensor:
    """Return int8 codes ``[n, K]`` of all images, on the CPU.

    Raises:
        TargetError: the hasher's output is NaN.
    """
    parts = batches(images, len(images), compute, place)
    return torch.cat([encode_batch(hasher, pixels)[:count] for pixels, _, count in parts])


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished its work, so that clock times are true."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def clock(device: torch.device) -> float:
    """Return the time in seconds, after the device has finished its work."""
    synchronise(device)
    return perf_counter()
