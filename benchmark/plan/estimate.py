"""What is measured on this machine: about how long jobs take, and the batch where it is ``auto``.

Speeds of finished jobs are remembered in the cache; what was never run is calibrated by a few
passes of the network itself. A batch is tried once a machine, on a worker of the slot it is for,
with the passes that crafting makes. On a GPU the largest that fits with a margin is taken, on a CPU
the largest that is still faster than half of it. It is part of every key like a number in a suite,
so it stays until ``batches.json`` is deleted.
"""

from __future__ import annotations

import functools
import logging
import math
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor
from dataclasses import replace
from pathlib import Path

import torch

from hashattack.benchmark.engines.base import ATTACKER, HARNESS, EngineError, Slot
from hashattack.benchmark.engines.local import LocalEngine
from hashattack.benchmark.jobs import FORWARD_AND_BACKWARD, Compute, Job, Work
from hashattack.benchmark.networks import memory_format, numerics, out_of_memory, synchronise
from hashattack.benchmark.plan.graph import Sizing
from hashattack.benchmark.plan.plan import Plan
from hashattack.benchmark.store.keys import canonical_json
from hashattack.benchmark.store.store import Store
from hashattack.datasets.files import read_checked, write_checked
from hashattack.targets.backbones import Backbone

logger = logging.getLogger(__name__)

PROCESS_SECONDS = 2.0  # for a worker's process to start and import the program, as measured
_SMALL_JOB_SECONDS = 0.3
_PASS_SECONDS = 0.01  # of an image, where no speed could be measured
_PAIR_SECONDS = 1e-7  # of a query and a database item that are ranked, until a run has measured it
_IMAGES = 8  # of a pass that is measured
_SPEEDS = "speeds.json"
_LARGEST = 1024  # images a batch
_FILLED = 0.8  # of a GPU's memory, or of a slot's share of it
_GAIN = 1.05  # images a second, over half the batch

Measure = Callable[..., float]  # calls a function by keywords, in some process


def estimate(
    plan: Plan,
    cache: Path,
    device: str,
    measure: Measure = lambda function, **arguments: float(function(**arguments)),
) -> dict[str, float]:
    """Return an estimate in seconds for every job of the plan, by key.

    Speeds are remembered in ``cache``; ``measure`` calls what measures a network's speed on a
    device, as torch calls it, in this process by default.
    """
    speeds: Mapping[str, float] = read_checked(cache / _SPEEDS) or {}

    @functools.cache
    def measured(backbone: Backbone, side: int, threads: int) -> float:
        rate = measure(calibrate, backbone=backbone, side=side, threads=threads, device=device)
        return _PASS_SECONDS if math.isnan(rate) else rate

    seconds = dict.fromkeys(plan.jobs, _SMALL_JOB_SECONDS)
    for key, job in plan.jobs.items():
        if job.isolation not in (HARNESS, ATTACKER):  # it starts a process of its own
            seconds[key] += PROCESS_SECONDS
    for job, work, side, name in _works(plan):
        rate = speeds.get(f"{name} {device}")
        if rate is None and work.backbone is not None:
            rate = measured(work.backbone, side, job.resources.threads)
        seconds[job.key] += work.amount * (_PAIR_SECONDS if rate is None else rate)
    return seconds


def remember(plan: Plan, store: Store, cache: Path) -> None:
    """Keep the speeds of finished jobs for later estimates, if the cache is writable."""
    seen: dict[str, list[float]] = defaultdict(list)
    for job, work, _, name in _works(plan):
        if work.also:
            continue  # its seconds are those of several networks
        made = (store.record(job.ref) or {"provenance": {}})["provenance"]
        if work.amount and "torch_device" in made:
            seen[f"{name} {made['torch_device']}"].append(made["seconds"] / work.amount)
    medians = {name: statistics.median(rates) for name, rates in seen.items()}
    try:
        write_checked(cache / _SPEEDS, {**(read_checked(cache / _SPEEDS) or {}), **medians})
    except OSError as error:
        logger.warning("speeds are not remembered: %s", error)


def _works(plan: Plan) -> Iterator[tuple[Job, Work, int, str]]:
    """Yield the jobs with work to measure, the side of their images and the name of their speed.

    A job that runs several networks comes once for each.
    """
    for job in plan.jobs.values():
        data = plan.data.get(getattr(job.task, "fingerprint", ""))
        work = None if data is None else job.implementation.work(job.task, data)
        if data is None or work is None:
            continue
        for backbone in (work.backbone, *work.also):
            network = "" if backbone is None else canonical_json(backbone)
            threads = job.resources.threads
            name = f"{work.kind or job.stage} {network} {data.fingerprint[:12]} {threads}"
            yield job, replace(work, backbone=backbone), data.side, name


def calibrate(*, backbone: Backbone, side: int, threads: int, device: str) -> float:
    """Return seconds a pass of one image, from forward and backward passes of a few."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    seconds = timed_passes(backbone, side, Compute(threads=threads), device)(_IMAGES)
    torch.set_num_threads(before)
    return seconds / _IMAGES / FORWARD_AND_BACKWARD


def batch_finder(cache: Path, slot: Slot, share: float, echo: Callable[[str], None]) -> Sizing:
    """Return what finds batches on a slot of this machine with a share of its device's memory.

    It raises :class:`EngineError` where the worker was killed while it tried.
    """
    path = cache / "batches.json"

    def find(backbone: Backbone, side: int, compute: Compute) -> int:
        how = [compute.threads, compute.dtype, compute.precision]
        place = [torch.device(slot.torch_device).type, share]
        name = canonical_json([place, backbone, side, how])
        known: dict[str, int] = read_checked(path) or {}
        if name not in known:
            engine, network = LocalEngine([slot]), (backbone, side, compute, slot.torch_device)
            try:
                found = engine.submit(slot.name, largest_batch, network=network, share=share)
                known[name] = found.result()
            except BrokenExecutor as error:  # by the guard of the system's memory, for example
                raise EngineError(
                    f"compute.batch: auto could not be tried for {backbone.name} ({error}); give "
                    "a number"
                ) from None
            finally:
                engine.close()
            write_checked(path, known)
            echo(f"{backbone.name} at {side} pixels: {known[name]} images per batch")
        return known[name]

    return find


def timed_passes(
    backbone: Backbone, side: int, compute: Compute, device: str
) -> Callable[[int], float]:
    """Return a function that measures a pass over so many images, as crafting makes it.

    It returns the seconds of a forward and a backward pass, the lesser of two measurements.
    """
    where, dtype = torch.device(device), getattr(torch, compute.dtype)
    form = memory_format(compute.precision, where)
    trunk = backbone.build(side)[0].eval().requires_grad_(False)
    trunk = trunk.to(where, dtype).to(memory_format=form)

    def seconds(batch: int) -> float:
        images = torch.zeros(batch, 3, side, side, device=where, dtype=dtype)
        images = images.to(memory_format=form)
        taken = []
        for _ in range(2):
            began = time.perf_counter()
            with numerics(compute.precision, where):
                torch.autograd.grad(trunk(pixels := images.requires_grad_()).sum(), pixels)
            synchronise(where)
            taken.append(time.perf_counter() - began)
        return min(taken)

    return seconds


def largest_batch(*, network: tuple[Backbone, int, Compute, str], share: float) -> int:
    """Return a power of two, at least 1, found by doubling; runs in a process of its own."""
    _, _, compute, device = network
    torch.set_num_threads(compute.threads)
    on_gpu = torch.device(device).type == "cuda"

    def fits() -> bool:
        if not on_gpu:
            return True
        total = torch.cuda.get_device_properties(device).total_memory
        return torch.cuda.max_memory_reserved(device) <= _FILLED * share * total

    return double(timed_passes(*network), fits, greedy=on_gpu)


def double(seconds: Callable[[int], float], fits: Callable[[], bool], *, greedy: bool) -> int:
    """Return the last batch of 1, 2, 4 … that fits and, unless ``greedy``, is faster.

    ``seconds`` measures a pass over so many images and raises where memory runs out; ``fits`` says
    whether the pass just made left enough.
    """
    best, rate = 1, 0.0
    batch = 1
    while batch <= _LARGEST:
        try:
            now = batch / seconds(batch)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            break
        if not fits() or not (greedy or now >= _GAIN * rate):
            break
        best, rate, batch = batch, now, 2 * batch
    return best
