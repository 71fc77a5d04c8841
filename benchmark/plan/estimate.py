"""About how long jobs take: network passes, times a measured speed.

Speeds are remembered in the cache from finished jobs; what was never run is calibrated by a few
passes of the network itself.
"""

from __future__ import annotations

import functools
import logging
import math
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hashattack.benchmark.jobs import Job, Task
from hashattack.benchmark.metrics.rank import rank
from hashattack.benchmark.networks import synchronise
from hashattack.benchmark.plan.plan import Plan
from hashattack.benchmark.stages.attacking import Craft, Fit, Hash
from hashattack.benchmark.stages.base import DataTask
from hashattack.benchmark.stages.hashers import Encode, Pretrain, Train
from hashattack.benchmark.stages.scoring import Score
from hashattack.benchmark.store.files import read_json, write_json
from hashattack.benchmark.store.keys import canonical_json
from hashattack.benchmark.store.store import Store
from hashattack.datasets.base import RetrievalData
from hashattack.datasets.seeds import generator
from hashattack.targets.backbones import Backbone

logger = logging.getLogger(__name__)

_SMALL_JOB_SECONDS = 0.3
_PASS_SECONDS = 0.01  # of an image, where no speed could be measured
_SPEEDS = "speeds.json"
_FORWARD_AND_BACKWARD = 3  # in units of a forward pass


@dataclass(frozen=True)
class Work:
    """What a job's time is proportional to: a network's forward passes of single images.

    Without a backbone, pairs of a query and a database item that are ranked.
    """

    backbone: Backbone | None
    passes: int


def work_of(task: Task, data: RetrievalData | None) -> Work | None:
    """Return a task's work, or None for one that runs no network."""
    if data is None:
        return None
    match task:
        case Pretrain(backbone=backbone, recipe=recipe):
            return Work(backbone, _FORWARD_AND_BACKWARD * recipe.epochs * len(data.train))
        case Train(spec=spec):
            passes = _FORWARD_AND_BACKWARD * spec.training.epochs * len(data.train)
            return Work(spec.backbone, passes)
        case Encode(spec=spec, split=split):
            return Work(spec.backbone, len(data.split(split)))
        case Craft(attack=attack, source=source, n_queries=queries):
            passes = 0 if attack.crafting is None else attack.crafting.passes
            return Work(source.backbone, queries * passes)
        case Fit(part=part, source=source):
            return Work(source.backbone, part.fit_passes(len(data.train)))
        case Hash(victim=victim, n_queries=queries):
            return Work(victim.backbone, 2 * queries)
        case Score(n_queries=queries):
            return Work(None, queries * len(data.database))
    return None


Measure = Callable[..., float]  # calls a function by keywords, somewhere


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
    seconds = {}
    for key, job in plan.jobs.items():
        data = _data_of(plan, job)
        work = work_of(job.task, data)
        if work is None or data is None:
            seconds[key] = _SMALL_JOB_SECONDS
            continue
        rate = speeds.get(_speed_key(job, work, device))
        if rate is None and work.backbone is not None:
            asked = (work.backbone, data.side, job.resources.threads)
            if asked not in measured:
                rate = measure(calibrate, network=asked, device=device)
                measured[asked] = _PASS_SECONDS if math.isnan(rate) else rate
            rate = measured[asked]
        elif rate is None:
            rate = _calibrate_ranking(len(data.classes))
        seconds[key] = _SMALL_JOB_SECONDS + rate * work.passes
    return seconds


def remember(plan: Plan, store: Store, cache: Path) -> None:
    """Keep the speeds of this plan's finished jobs for later estimates, if it can."""
    seen: dict[str, list[float]] = defaultdict(list)
    for job in plan.jobs.values():
        work, record = work_of(job.task, _data_of(plan, job)), store.record(job.ref)
        made = {} if record is None else record["provenance"]
        if work is not None and work.passes and "torch_device" in made:
            key = _speed_key(job, work, made["torch_device"])
            seen[key].append(made["seconds"] / work.passes)
    medians = {key: statistics.median(rates) for key, rates in seen.items()}
    try:
        write_json(cache / _SPEEDS, {**_remembered(cache), **medians})
    except OSError as error:
        logger.warning("speeds are not remembered: %s", error)


def _remembered(cache: Path) -> dict[str, float]:
    stored: Mapping[str, float] = read_json(cache / _SPEEDS) or {}
    return dict(stored)


def _data_of(plan: Plan, job: Job) -> RetrievalData | None:
    return plan.data[job.task.fingerprint] if isinstance(job.task, DataTask) else None


def _speed_key(job: Job, work: Work, device: str) -> str:
    data = getattr(job.task, "fingerprint", "")[:12]
    backbone = "" if work.backbone is None else canonical_json(work.backbone)
    what = type(job.task.part).__name__ if isinstance(job.task, Fit) else job.stage
    return f"{what} {backbone} {data} {job.resources.threads} {device}"


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
    return min(elapsed) / len(images) / _FORWARD_AND_BACKWARD


@functools.cache
def _calibrate_ranking(classes: int) -> float:
    """Return seconds a (query, database item) pair of a score job, from two small rankings."""
    draws = generator(0, "calibration")
    codes = [draws.choice(np.array([-1, 1], dtype=np.int8), (n, 32)) for n in (16, 20_000)]
    labels = [(draws.random((n, classes)) < 0.1).astype(np.uint8) for n in (16, 20_000)]

    def score(items: int) -> float:
        """Rank as a score job does: for target and own labels, and once more after 8 bits."""
        began = time.perf_counter()
        database = codes[1][:items], labels[1][:items]
        rank(codes[0], database[0], [labels[0], labels[0]], database[1], threads=1)
        rank(codes[0], database[0], [labels[0]], database[1], stable=False, threads=1)
        return time.perf_counter() - began

    score(1)  # the first call compiles
    return score(20_000) / (16 * 20_000)
