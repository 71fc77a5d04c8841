"""Engines: what the graph loop needs to run jobs; slots, each for one job at a time."""

from __future__ import annotations

import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Any

from hashattack.datasets.errors import UserError

# Isolation of a job: jobs with different values never share a process. HARNESS is for jobs without
# attack code, ATTACKER for the attacks of this program; a plug-in's job has a value of its own.
HARNESS, ATTACKER = "harness", "attacker"

Function = Callable[..., Any]  # what a worker calls; it and its result can be pickled


class EngineError(UserError):
    """Workers that cannot be used; the text says which and why."""


@dataclass(frozen=True)
class Slot:
    """A place for one job at a time. A timed job gets all slots of its ``device``."""

    name: str
    torch_device: str  # as its worker calls it: "cpu", "cuda:0"
    device: str  # the physical device: "gpu 1"; a CPU slot has its own cores, so it is its own
    environment: Mapping[str, str] = field(default_factory=dict)


class Engine(ABC):
    """Runs functions on slots. Futures only signal an end; the store says what is done."""

    @abstractmethod
    def slots(self) -> Mapping[str, Slot]:
        """Return the slots that have, or can start, a live worker now, by name.

        Raises:
            EngineError: there will never be one again.
        """

    @abstractmethod
    def submit(
        self, slot: str, function: Function, /, *, isolation: str = HARNESS, **arguments: Any
    ) -> Future[Any]:
        """Run a function on a free slot.

        Where the engine starts processes of its own, functions of different ``isolation`` never
        share one.

        Raises:
            EngineError: the slot's worker is gone; ``replace`` starts a new one.
        """

    @abstractmethod
    def replace(self, slot: str) -> None:
        """Kill a slot's worker, even a busy one; a new process takes its place."""

    def alive(self, slot: str) -> bool:  # noqa: ARG002 - the futures of most engines report it
        """Return whether the slot's worker is alive, as far as is known."""
        return True

    @abstractmethod
    def close(self) -> None:
        """Release every worker; end those that this engine started."""

    def wait(self, futures: Collection[Future[Any]], timeout: float) -> Collection[Future[Any]]:
        """Return the futures that are done, after at most ``timeout`` seconds."""
        if not futures:
            time.sleep(timeout)
            return ()
        return wait(futures, timeout=timeout, return_when=FIRST_COMPLETED).done

    def now(self) -> float:
        """Return the time in seconds since a fixed moment."""
        return time.monotonic()


def machine_slots(devices: str, per_device: int | None, threads: int) -> list[Slot]:
    """Return the slots of this machine, for ``per_device`` jobs of some threads on each device.

    ``devices`` is ``cpu``; ``cuda`` for all GPUs; ``auto`` for these, or the CPU where there are
    none; or some by number, like ``0,2``. By default a GPU has one slot, and the CPU as many as
    jobs fill its cores.

    Raises:
        EngineError: no such device.
    """
    import torch  # a second and a half, which each worker would wait for

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
