"""The slots of this machine."""

from __future__ import annotations

import os
import sys

import torch

from hashattack.benchmark.engines.base import EngineError, Slot


def machine_slots(devices: str, per_device: int | None, threads: int) -> list[Slot]:
    """Return the slots of this machine.

    Args:
        devices: ``auto`` for all GPUs, or the CPU where there are none; ``cpu``; ``cuda`` for all
            GPUs; or some of them by number, like ``0,2``.
        per_device: jobs at a time on each. None: one on a GPU, and on the CPU as many as jobs of
            ``threads`` threads fill its cores.
        threads: of one job.

    Raises:
        EngineError: no such device.
    """
    here = torch.cuda.device_count() if devices != "cpu" else 0
    if devices == "cpu" or (devices == "auto" and not here):
        return cpu_slots(per_device or max(1, cores() // threads), threads)
    if devices in ("auto", "cuda"):
        numbers = list(range(here))
    else:
        numbers = [int(text) if text.isdecimal() else -1 for text in devices.split(",")]
        if min(numbers) < 0 or len(set(numbers)) < len(numbers):
            raise EngineError(
                f"--devices {devices}: expected auto, cpu, cuda, or numbers of GPUs like 0,2"
            )
    if not numbers or max(numbers) >= here:
        raise EngineError(f"--devices {devices}: this machine has {here or 'no'} GPUs")
    return gpu_slots(numbers, per_device or 1, threads)


def cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def cpu_slots(count: int, threads: int = 1) -> list[Slot]:
    """Return ``count`` CPU slots, each with its share of threads."""
    environment = {"CUDA_VISIBLE_DEVICES": "", **_share(threads)}
    return [Slot(name, "cpu", name, environment) for name in (f"cpu {n}" for n in range(count))]


def gpu_slots(numbers: list[int], per_device: int, threads: int = 1) -> list[Slot]:
    """Return the slots of some GPUs; a slot's worker sees its own GPU alone."""
    return [
        Slot(
            f"gpu {number}" + (f".{share}" if per_device > 1 else ""),
            "cuda:0",
            f"gpu {number}",
            {"CUDA_VISIBLE_DEVICES": _visible(number), **_share(threads)},
        )
        for number in numbers
        for share in range(per_device)
    ]


def _share(threads: int) -> dict[str, str]:
    """Return what keeps the libraries below numpy to a slot's threads."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return dict.fromkeys(names, str(threads))


def _visible(number: int) -> str:
    """Return what names the GPU to a worker, where this process sees only some itself."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    return seen.split(",")[number].strip() if seen else str(number)
