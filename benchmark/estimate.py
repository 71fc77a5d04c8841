"""About how long jobs take: network passes, times a measured speed.

Speeds are remembered in the cache from finished jobs; what was never run is calibrated by a few
passes of the network itself.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmark.hamming.rank import rank
from benchmark.jobs import Job, Task
from benchmark.plan import Plan
from benchmark.records import canonical_json
from benchmark.stages.attacking import Craft, Fit, Hash
from benchmark.stages.base import DataTask
from benchmark.stages.hashers import Encode, Pretrain, Train
from benchmark.stages.scoring import Score
from benchmark.store import Store, read_json, write_json
from datasets.base import RetrievalData
from datasets.seeds import generator
from targets.backbones import Backbone

_SMALL_JOB_SECONDS = 0.3
_RANKINGS = 3  # of a score job: for the target, for the query's own labels, after 8 bits
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


def estimate(plan: Plan, cache: Path, device: str) -> dict[str, float]:
    """Return an estimate in seconds for every job of the plan."""
    speeds = _remembered(cache)
    seconds = {}
    for key, job in plan.jobs.items():
        data = _data_of(plan, job)
        work = work_of(job.task, data)
        if work is None or data is None:
            seconds[key] = _SMALL_JOB_SECONDS
            continue
        rate = speeds.get(_speed_key(job, work, device))
        if rate is None and work.backbone is not None:
            rate = _calibrate(work.backbone, data.side, job.task.cpu_threads, device)
        elif rate is None:
            rate = _calibrate_ranking(data.database.labels.shape[1])
        seconds[key] = _SMALL_JOB_SECONDS + rate * work.passes
    return seconds


def remember(plan: Plan, store: Store, cache: Path, device: str) -> None:
    """Keep the speeds of this plan's finished jobs for later estimates."""
    seen: dict[str, list[float]] = defaultdict(list)
    for job in plan.jobs.values():
        work, record = work_of(job.task, _data_of(plan, job)), store.record(job.ref)
        if work is not None and record is not None and work.passes:
            seen[_speed_key(job, work, device)].append(
                record["provenance"]["seconds"] / work.passes
            )
    medians = {key: statistics.median(rates) for key, rates in seen.items()}
    write_json(cache / _SPEEDS, {**_remembered(cache), **medians})


def _remembered(cache: Path) -> dict[str, float]:
    stored: Mapping[str, float] = read_json(cache / _SPEEDS) or {}
    return dict(stored)


def _data_of(plan: Plan, job: Job) -> RetrievalData | None:
    return plan.data[job.task.fingerprint] if isinstance(job.task, DataTask) else None


def _speed_key(job: Job, work: Work, device: str) -> str:
    data = getattr(job.task, "fingerprint", "")[:12]
    backbone = "" if work.backbone is None else canonical_json(work.backbone)
    what = type(job.task.part).__name__ if isinstance(job.task, Fit) else job.task.stage
    return f"{what} {backbone} {data} {job.task.cpu_threads} {device}"


@functools.cache
def _calibrate(backbone: Backbone, side: int, threads: int, device: str) -> float:
    """Return seconds a forward pass of one image, from a few forward and backward passes."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    network = backbone.build(side)[0].to(device)
    images = torch.zeros(8, 3, side, side, device=device)
    elapsed = []
    for _ in range(3):
        began = time.perf_counter()
        network(images).sum().backward()
        elapsed.append(time.perf_counter() - began)
    torch.set_num_threads(before)
    return min(elapsed) / len(images) / _FORWARD_AND_BACKWARD


@functools.cache
def _calibrate_ranking(classes: int) -> float:
    """Return seconds a (query, database item) pair of a score job, from a small ranking."""
    draws = generator(0, "calibration")
    codes = [draws.choice(np.array([-1, 1], dtype=np.int8), (n, 32)) for n in (16, 20_000)]
    labels = [(draws.random((n, classes)) < 0.1).astype(np.uint8) for n in (16, 20_000)]
    began = time.perf_counter()
    rank(codes[0], codes[1], [labels[0]], labels[1], threads=1)
    return _RANKINGS * (time.perf_counter() - began) / (16 * 20_000)
