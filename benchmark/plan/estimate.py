"""About how long jobs take: network passes, times a measured speed.

Speeds are remembered in the cache from finished jobs; what was never run is calibrated by a few
passes of the network itself.
"""

from __future__ import annotations

import functools
import logging
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch

from hashattack.benchmark.jobs import FORWARD_AND_BACKWARD, Compute, Job, Work
from hashattack.benchmark.plan.batches import timed_passes
from hashattack.benchmark.plan.plan import Plan
from hashattack.benchmark.store.files import read_json, write_json
from hashattack.benchmark.store.keys import canonical_json
from hashattack.benchmark.store.store import Store
from hashattack.targets.backbones import Backbone

logger = logging.getLogger(__name__)

_SMALL_JOB_SECONDS = 0.3
_PASS_SECONDS = 0.01  # of an image, where no speed could be measured
_PAIR_SECONDS = 1e-7  # of a query and a database item that are ranked, until a run has measured it
_IMAGES = 8  # of a pass that is measured
_SPEEDS = "speeds.json"

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
    speeds: Mapping[str, float] = read_json(cache / _SPEEDS) or {}

    @functools.cache
    def measured(backbone: Backbone, side: int, threads: int) -> float:
        rate = measure(calibrate, backbone=backbone, side=side, threads=threads, device=device)
        return _PASS_SECONDS if math.isnan(rate) else rate

    seconds = dict.fromkeys(plan.jobs, _SMALL_JOB_SECONDS)
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
        made = (store.record(job.ref) or {"provenance": {}})["provenance"]
        if work.amount and "torch_device" in made:
            seen[f"{name} {made['torch_device']}"].append(made["seconds"] / work.amount)
    medians = {name: statistics.median(rates) for name, rates in seen.items()}
    try:
        write_json(cache / _SPEEDS, {**(read_json(cache / _SPEEDS) or {}), **medians})
    except OSError as error:
        logger.warning("speeds are not remembered: %s", error)


def _works(plan: Plan) -> Iterator[tuple[Job, Work, int, str]]:
    """Yield the jobs with work to measure, the side of their images and the name of their speed."""
    for job in plan.jobs.values():
        data = plan.data.get(getattr(job.task, "fingerprint", ""))
        work = None if data is None else job.implementation.work(job.task, data)
        if data is not None and work is not None:
            backbone = "" if work.backbone is None else canonical_json(work.backbone)
            threads = job.resources.threads
            name = f"{work.kind or job.stage} {backbone} {data.fingerprint[:12]} {threads}"
            yield job, work, data.side, name


def calibrate(*, backbone: Backbone, side: int, threads: int, device: str) -> float:
    """Return seconds a forward pass of one image, from forward and backward passes of a few."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    seconds = timed_passes(backbone, side, Compute(threads=threads), device)(_IMAGES)
    torch.set_num_threads(before)
    return seconds / _IMAGES / FORWARD_AND_BACKWARD
