"""Graphs of jobs that compute nothing, or misbehave as a test wants."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hashattack.benchmark.engines.base import Slot
from hashattack.benchmark.jobs import Context, Job, Output, Resources, implements
from hashattack.benchmark.pipeline import Stage


@dataclass(frozen=True, kw_only=True)
class Dummy:
    """Parameters of a job that does nothing."""

    name: str
    alone: bool = False


@implements(
    Stage("dummy"),
    Dummy,
    label=lambda task: task.name,
    resources=lambda task: Resources(timed=task.alone),
)
def dummy(task: Dummy, _: Context) -> Output:
    return Output({"name": np.frombuffer(task.name.encode(), dtype=np.uint8)}, {})


@dataclass(frozen=True, kw_only=True)
class Misbehaving:
    """Parameters of a job that misbehaves in its first attempts, which a folder counts."""

    name: str
    how: str
    times: int
    folder: str
    alone: bool = False
    splits: bool = True


@implements(
    Stage("misbehaving"),
    Misbehaving,
    label=lambda task: task.name,
    resources=lambda task: Resources(batch=8, divisible=task.splits, timed=task.alone),
)
def misbehaving(task: Misbehaving, context: Context) -> Output:
    witness = Path(task.folder) / task.name
    tries = len(witness.read_text()) if witness.exists() else 0
    witness.write_text("x" * (tries + 1))
    if tries < task.times:
        misbehave(task.how, context)
    return Output({"name": np.frombuffer(task.name.encode(), dtype=np.uint8)}, {})


def misbehave(how: str, context: Context) -> None:
    match how:
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang":
            time.sleep(600)
        case "crawl":
            for done in range(1_000_000):
                context.progress(done, 1_000_000, "step")
                time.sleep(0.1)
        case "memory":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        case "device":
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        case "full":
            raise OSError(errno.ENOSPC, "No space left on device")
        case "full here":
            place = str(context.store.folder(context.inputs["of"]) / "mine")
            raise OSError(errno.ENOSPC, "No space left on device", place)
        case "kill all":
            os.killpg(os.getpgrp(), signal.SIGKILL)
        case "foreign":
            raise TwoArgumentsError(1, 2)


class TwoArgumentsError(Exception):
    """An exception that cannot be unpickled, as some libraries have."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def graph(*tasks: tuple[Any, Mapping[str, Any]]) -> dict[str, Job]:
    """Bind tasks to the earlier tasks they read."""
    made: dict[Any, Job] = {}
    for task, inputs in tasks:
        made[task] = Job.of(task, {role: made[other] for role, other in inputs.items()})
    return {job.key: job for job in made.values()}


def random_graph(draws: np.random.Generator, size: int, alone: float) -> dict[str, Job]:
    """Return a layered graph; ``alone`` is the share of timed jobs."""
    layers = int(draws.integers(2, 8))
    listed: list[tuple[Job, int]] = []
    for number in range(size):
        layer = number * layers // size
        before = [job for job, other in listed if other < layer]
        count = min(int(draws.integers(0, 4)), len(before))
        picks = draws.permutation(len(before))[:count].tolist()
        task = Dummy(name=str(number), alone=bool(draws.random() < alone))
        listed.append((Job.of(task, {str(pick): before[pick] for pick in picks}), layer))
    return {job.key: job for job, _ in listed}


def shared_slots(devices: int, sharing: int) -> list[Slot]:
    """Return ``sharing`` slots on each of some devices."""
    return [
        Slot(f"{device}.{share}", "cpu", f"device {device}")
        for device in range(devices)
        for share in range(sharing)
    ]
