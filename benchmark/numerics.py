"""How exactly a device computes: an explicit choice, because it moves the last bits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Literal

import torch

Precision = Literal["full", "tf32", "bfloat16"]

_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")


@contextlib.contextmanager
def numerics(precision: Precision, device: torch.device) -> Iterator[None]:
    """Compute with this precision inside the block, on a GPU with algorithms that repeat.

    Args:
        precision: ``full``, ``tf32`` (on a GPU's tensor cores) or ``bfloat16`` by autocast.
        device: the job's. TF32 is torch's default for convolutions on a GPU, so ``full`` refuses
            it. Operations that have no deterministic form warn in the job's log.
    """
    with contextlib.ExitStack() as stack:
        if device.type == "cuda":
            tf32 = precision == "tf32"
            stack.enter_context(
                torch.backends.cudnn.flags(
                    enabled=True, benchmark=False, deterministic=True, allow_tf32=tf32
                )
            )
            stack.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
            torch.set_float32_matmul_precision("high" if tf32 else "highest")
            stack.callback(
                torch.use_deterministic_algorithms, torch.are_deterministic_algorithms_enabled()
            )
            torch.use_deterministic_algorithms(True, warn_only=True)
            # What is never read need not be filled, and every fill is a kernel.
            fills: Any = torch.utils.deterministic
            stack.callback(
                setattr, fills, "fill_uninitialized_memory", fills.fill_uninitialized_memory
            )
            fills.fill_uninitialized_memory = False
        if precision == "bfloat16":
            stack.enter_context(_bfloat16(device.type))
        yield


def _bfloat16(device_type: str) -> torch.autocast:
    """Return autocast that keeps no copies of weights, which a training would never see change."""
    return torch.autocast(device_type, dtype=torch.bfloat16, cache_enabled=False)


def memory_format(precision: Precision, device: torch.device) -> torch.memory_format:
    """Return how images lie in memory: channels last, but for full precision on a GPU.

    On a CPU a gradient of VGG11 at 224 pixels takes three quarters of the time so, in bfloat16
    half of it; on a GPU only tensor cores profit.
    """
    if device.type == "cuda" and precision == "full":
        return torch.contiguous_format
    return torch.channels_last


def out_of_memory(error: Exception) -> bool:
    """Return whether a computation failed because its batch does not fit the memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _NO_MEMORY)
