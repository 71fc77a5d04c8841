"""Which engine a run uses, and the slots of this machine."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from hashattack.benchmark.engines.base import Engine, EngineError, Slot
from hashattack.benchmark.engines.local import LocalEngine


@dataclass(frozen=True)
class EngineOptions:
    """Where jobs run, as the command line names it."""

    devices: str = "auto"
    slots_per_device: int | None = None
    scheduler_file: Path | None = None  # of a dask cluster; None for this machine

    def open(self, threads: int, out: Path) -> Engine:
        """Start the engine for jobs of ``threads`` threads that write to the folder ``out``.

        Raises:
            EngineError: no such device, or a cluster that cannot be used.
        """
        if self.scheduler_file is None:
            return LocalEngine(machine_slots(self.devices, self.slots_per_device, threads))
        from hashattack.benchmark.engines.dask import DaskEngine

        if self.slots_per_device is not None or self.devices not in ("auto", "cpu"):
            raise EngineError(
                "a dask cluster has a slot for each worker: start one worker for each device; "
                "--devices can only be auto or cpu"
            )
        return DaskEngine(self.scheduler_file, out, cpu_only=self.devices == "cpu")


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
    present = torch.cuda.device_count() if devices != "cpu" else 0
    if devices == "cpu" or (devices == "auto" and not present):
        return cpu_slots(per_device or max(1, cores() // threads), threads)
    if devices in ("auto", "cuda"):
        numbers = list(range(present))
    else:
        numbers = [int(text) if text.isdecimal() else -1 for text in devices.split(",")]
        if min(numbers) < 0 or len(set(numbers)) < len(numbers):
            raise EngineError(
                f"--devices {devices}: expected auto, cpu, cuda, or numbers of GPUs like 0,2"
            )
    if not numbers or max(numbers) >= present:
        raise EngineError(f"--devices {devices}: this machine has {present or 'no'} GPUs")
    return gpu_slots(numbers, per_device or 1, threads)


def cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def cpu_slots(count: int, threads: int = 1) -> list[Slot]:
    """Return ``count`` CPU slots for jobs of ``threads`` threads."""
    environment = {"CUDA_VISIBLE_DEVICES": "", **_thread_limits(threads)}
    return [Slot(name, "cpu", name, environment) for name in (f"cpu {n}" for n in range(count))]


def gpu_slots(numbers: list[int], per_device: int, threads: int = 1) -> list[Slot]:
    """Return the slots of some GPUs; a slot's worker sees only its own GPU."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")  # this process may see only some itself
    names = visible.split(",") if visible else [str(number) for number in range(max(numbers) + 1)]
    return [
        Slot(
            f"gpu {number}" + (f".{share}" if per_device > 1 else ""),
            "cuda:0",
            f"gpu {number}",
            {"CUDA_VISIBLE_DEVICES": names[number].strip(), **_thread_limits(threads)},
        )
        for number in numbers
        for share in range(per_device)
    ]


def _thread_limits(threads: int) -> dict[str, str]:
    """Return the environment that limits the libraries below NumPy to a slot's threads."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return dict.fromkeys(names, str(threads))
