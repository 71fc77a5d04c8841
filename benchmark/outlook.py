"""What a run is about to do, as a table: jobs a stage, what sharing saves, time and space."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tabulate import tabulate

from benchmark.plan import Plan
from benchmark.progress import span
from benchmark.stages.attacking import Craft, CraftBlind

_PIXEL_BYTES = 3 * 4  # an adversarial image is kept exactly as it was crafted


@dataclass(frozen=True)
class Outlook:
    """A plan's stages and totals; seconds are of work to do, on one device."""

    table: str
    left_jobs: int
    left_seconds: float
    image_bytes: int  # of adversarial images, done and to do


def outlook(plan: Plan, seconds: Mapping[str, float], done: Collection[str]) -> Outlook:
    """Return what is done, what is to do and what cells have in common.

    The column ``shared`` counts the jobs that were to do on top if every cell stood alone.
    """
    asked = Counter(plan.jobs[key].task.stage for cell in _closures(plan) for key in cell)
    stages: dict[str, list[str]] = {}
    for key, job in plan.jobs.items():
        stages.setdefault(job.task.stage, []).append(key)
    rows = []
    for stage, keys in stages.items():
        left = [key for key in keys if key not in done]
        work = span(sum(seconds[key] for key in left)) if left else ""
        rows.append((stage, len(keys), asked[stage] - len(keys), len(keys) - len(left), work))
    left = [key for key in plan.jobs if key not in done]
    return Outlook(
        table=tabulate(rows, ["stage", "jobs", "shared", "done", "work to do"], tablefmt="simple"),
        left_jobs=len(left),
        left_seconds=sum(seconds[key] for key in left),
        image_bytes=_image_bytes(plan),
    )


def _closures(plan: Plan) -> list[set[str]]:
    """Return, for every cell, all jobs it stands on."""
    needs: dict[str, set[str]] = {}
    for key, job in plan.jobs.items():  # inputs first
        needs[key] = {key}.union(*(needs[ref.key] for ref in job.inputs.values()))
    return [set().union(*(needs[job.key] for job in cell.jobs.values())) for cell in plan.cells]


def _image_bytes(plan: Plan) -> int:
    total = 0
    for job in plan.jobs.values():
        task = job.task
        if isinstance(task, Craft | CraftBlind) and not task.attack.code_only:
            total += task.n_queries * plan.data[task.fingerprint].side ** 2 * _PIXEL_BYTES
    return total
