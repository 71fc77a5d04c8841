"""About how long jobs take: network passes, times a measured speed.

Speeds are remembered in the cache from finished jobs; what was never run is calibrated by a few
passes of the network itself.
"""

from __future__ import annotations

import logging
import math
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from hashattack.benchmark.jobs import FORWARD_AND_BACKWARD, Job, Work
from hashattack.benchmark.networks import synchronise
from hashattack.benchmark.plan.plan import Plan
from hashattack.benchmark.store.files import read_json, write_json
from hashattack.benchmark.store.keys import canonical_json
from hashattack.benchmark.store.store import Store
from hashattack.datasets.base import RetrievalData
from hashattack.targets.backbones import Backbone

logger = logging.getLogger(__name__)

_SMALL_JOB_SECONDS = 0.3
_PASS_SECONDS = 0.01  # of an image, where no speed could be measured
_PAIR_SECONDS = 1e-7  # of a query and a database item that are ranked, until a run has measured it
_SPEEDS = "speeds.json"

Measure = Callable[..., float]  # calls a function by keywords, in some process


def measure_here(function: Callable[..., float], **arguments: Any) -> float:
    """Call a function in this process."""
    return function(**arguments)


def estimate(
    plan: Plan, cache: Path, device: str, measure: Measure = measure_here
) -> dict[str, float]:
    """Return an estimate in seconds for every job of the plan.

    Args:
        plan: its jobs.
        cache: where speeds are remembered.
        device: as torch calls it where the jobs run.
        measure: calls what measures a network's speed, on such a device.
    """
    speeds = _remembered(cache)
    measured: dict[tuple[Backbone, int, int], float] = {}
    seconds = dict.fromkeys(plan.jobs, _SMALL_JOB_SECONDS)
    for job, work, data, name in _works(plan):
        rate = speeds.get(f"{name} {device}")
        if rate is None and work.backbone is not None:
            network = (work.backbone, data.side, job.resources.threads)
            if network not in measured:
                rate = measure(calibrate, network=network, device=device)
                measured[network] = _PASS_SECONDS if math.isnan(rate) else rate
            rate = measured[network]
        seconds[job.key] += work.amount * (_PAIR_SECONDS if rate is None else rate)
    return seconds


def remember(plan: Plan, store: Store, cache: Path) -> None:
    """Keep the speeds of finished jobs for later estimates, if the cache is writable."""
    seen: dict[str, list[float]] = defaultdict(list)
    for job, work, _, name in _works(plan):
        made = (store.record(job.ref) or {"provenance": {}})["provenance"]
        if work.amount and "torch_device" in made:
            seen[f"{name} {made['torch_device']}"].append(made["seconds"] / work.amount)
    medians = {name: statistics.median(rates) for name, rates in seen.items()}
    try:
        write_json(cache / _SPEEDS, {**_remembered(cache), **medians})
    except OSError as error:
        logger.warning("speeds are not remembered: %s", error)


def _remembered(cache: Path) -> dict[str, float]:
    stored: Mapping[str, float] = read_json(cache / _SPEEDS) or {}
    return dict(stored)


def _works(plan: Plan) -> Iterator[tuple[Job, Work, RetrievalData, str]]:
    """Yield the jobs with work to measure, their data set and the name of their speed."""
    for job in plan.jobs.values():
        data = plan.data.get(getattr(job.task, "fingerprint", ""))
        work = None if data is None else job.implementation.work(job.task, data)
        if data is not None and work is not None:
            backbone = "" if work.backbone is None else canonical_json(work.backbone)
            threads = job.resources.threads
            name = f"{work.kind or job.stage} {backbone} {data.fingerprint[:12]} {threads}"
            yield job, work, data, name


def calibrate(*, network: tuple[Backbone, int, int], device: str) -> float:
    """Return seconds a forward pass of one image, from a few forward and backward passes.

    Args:
        network: a backbone, the side of its images, and its threads.
        device: where it runs.
    """
    backbone, side, threads = network
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    trunk = backbone.build(side)[0].to(device)
    images = torch.zeros(8, 3, side, side, device=device)
    elapsed = []
    for _ in range(3):
        synchronise(images.device)
        began = time.perf_counter()
        trunk(images).sum().backward()
        synchronise(images.device)
        elapsed.append(time.perf_counter() - began)
    torch.set_num_threads(before)
    return min(elapsed) / len(images) / FORWARD_AND_BACKWARD
