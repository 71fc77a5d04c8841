"""The local engine: one single-worker process pool a slot, so a death costs one job only.

A shared pool fails every queued job when one worker dies; here a job is only ever submitted to a
free slot, and a broken slot is replaced. Workers exit when their driver is gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from joblib.externals.loky.process_executor import ProcessPoolExecutor

from datasets.errors import UserError

logger = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Slot:
    """A place one job can run at a time: a torch device name and its worker's environment."""

    device: str
    environment: dict[str, str]


def available_slots(device: str, count: int | None, threads: int) -> list[Slot]:
    """Return the slots of this machine.

    Args:
        device: ``cpu``, ``cuda``, or ``auto`` for GPUs where there are any.
        count: at most so many GPUs, or exactly so many CPU slots; None for one a GPU, or as many
            CPU slots as jobs of ``threads`` threads fill the cores.
        threads: of one job.

    Raises:
        UserError: a GPU is asked for and there is none.
    """
    gpus = torch.cuda.device_count() if device != "cpu" else 0
    if device == "cuda" and not gpus:
        raise UserError("--device cuda: no GPU is available here")
    if gpus:
        return gpu_slots(min(gpus, count or gpus))
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return cpu_slots(count or max(1, cores // threads))


def cpu_slots(count: int) -> list[Slot]:
    """Return ``count`` CPU slots."""
    return [Slot("cpu", {"CUDA_VISIBLE_DEVICES": ""}) for _ in range(count)]


def gpu_slots(count: int) -> list[Slot]:
    """Return one slot a GPU; its worker sees that GPU alone."""
    return [Slot("cuda:0", {"CUDA_VISIBLE_DEVICES": str(index)}) for index in range(count)]


class Engine(Protocol):
    """Where jobs run: some slots, each taking one job at a time."""

    slots: list[Slot]

    def submit(
        self, slot: int, function: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Future[Any]:
        """Run a function on a free slot."""

    def replace(self, slot: int) -> None:
        """Give a slot a fresh worker, killing the old one."""

    def close(self) -> None:
        """End every worker."""


class LocalEngine:
    """Worker processes of this machine, started when their slot is first used."""

    def __init__(self, slots: list[Slot]) -> None:
        self.slots = slots
        self._pools: dict[int, Any] = {}

    def submit(
        self, slot: int, function: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Future[Any]:
        """Run a function on a free slot."""
        if slot not in self._pools:
            self._pools[slot] = ProcessPoolExecutor(
                max_workers=1,
                initializer=_start_worker,
                initargs=(os.getpid(),),
                env=self.slots[slot].environment,
            )
        future: Future[Any] = self._pools[slot].submit(function, *args, **kwargs)
        return future

    def replace(self, slot: int) -> None:
        """Kill a slot's worker; the next submission starts a fresh process."""
        pool = self._pools.pop(slot, None)
        if pool is not None:
            pool.shutdown(wait=False, kill_workers=True)

    def close(self) -> None:
        """End every worker at once; what is done is in the store already."""
        for slot in list(self._pools):
            self.replace(slot)


def _start_worker(driver: int) -> None:
    """Prepare a worker: leave Ctrl-C to the driver, and never outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, handlers=[logging.NullHandler()])
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_watch, args=(driver,), daemon=True).start()


def _watch(driver: int) -> None:
    while os.getppid() == driver:
        time.sleep(1)
    os._exit(1)
