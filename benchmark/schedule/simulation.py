"""A run in virtual time: the very loop that runs jobs, so that its schedule can be measured."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hashattack.benchmark.engines.base import Slot
from hashattack.benchmark.jobs import Job
from hashattack.benchmark.progress.observers import Several
from hashattack.benchmark.schedule.attempts import Patience
from hashattack.benchmark.schedule.frontier import critical_path
from hashattack.benchmark.schedule.ledger import Ledger
from hashattack.benchmark.schedule.loop import Loop
from hashattack.benchmark.schedule.simulated import SimulatedEngine


@dataclass(frozen=True)
class Makespan:
    """How long a graph takes, in seconds, and how long it takes at least."""

    seconds: float
    bound: float

    @property
    def ratio(self) -> float:
        """Return the makespan over its bound, 1 or more."""
        return self.seconds / self.bound if self.bound else 1.0


class _Paper(Ledger):
    """A ledger for jobs that only exist on paper."""

    def __init__(self, done: Collection[str]) -> None:
        self._done = done
        self._called: set[str] = set()

    def verdict(self, job: Job) -> tuple[str, str] | None:
        return ("cached", "") if job.key in self._done else None

    def call(self, job: Job, torch_device: str) -> tuple[Callable[..., Any], dict[str, Any]]:
        del torch_device
        self._called.add(job.key)
        return lambda **_: None, {"job": job}

    def tries(self, job: Job) -> int:
        return int(job.key in self._called)


def simulate(
    jobs: Mapping[str, Job],
    estimates: Mapping[str, float],
    slots: Sequence[Slot],
    *,
    actual: Mapping[str, float] | None = None,
    done: Collection[str] = (),
    first_in_first_out: bool = False,
) -> Makespan:
    """Return how long the loop takes for a graph.

    Args:
        jobs: by key, inputs before what needs them.
        estimates: seconds the loop believes each job takes.
        slots: where jobs run.
        actual: seconds each job takes. Default: as estimated.
        done: keys of jobs that are done already.
        first_in_first_out: start jobs in the order in which they become ready, for comparison.
    """
    actual = actual or estimates
    engine = SimulatedEngine(slots, actual)
    Loop(
        jobs,
        estimates,
        engine=engine,
        ledger=_Paper(done),
        observer=Several(),
        urgency=dict.fromkeys(jobs, 0.0) if first_in_first_out else None,
        patience=Patience(least=math.inf),
    ).run()
    left = {key: 0.0 if key in done else actual[key] for key in jobs}
    return Makespan(engine.now(), lower_bound(jobs, left, slots))


def lower_bound(
    jobs: Mapping[str, Job], seconds: Mapping[str, float], slots: Sequence[Slot]
) -> float:
    """Return the seconds no schedule can beat: the critical path, or all work over all slots.

    A job that runs alone takes all slots of its device, so its work counts for each of them.
    """
    sharing = min(Counter(slot.device for slot in slots).values())
    work = sum(seconds[key] * (sharing if job.resources.timed else 1) for key, job in jobs.items())
    longest = max(critical_path(jobs, seconds).values(), default=0.0)
    return max(longest, work / len(slots))
