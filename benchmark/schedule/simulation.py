"""The schedule of a graph in virtual time, so that it can be measured before it runs."""

from __future__ import annotations

import heapq
from bisect import insort
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from hashattack.benchmark.engines.base import Slot
from hashattack.benchmark.jobs import Job
from hashattack.benchmark.schedule.attempts import (
    Attempt,
    critical_path,
    dependencies,
    lower_bound,
    place,
)


@dataclass(frozen=True)
class Simulation:
    """When and where jobs run, in seconds from the start, and a lower bound of the whole."""

    spans: Mapping[str, tuple[float, float, str]]  # start, end and slot, by key
    bound: float

    @property
    def seconds(self) -> float:
        """Return the end of the last job."""
        return max((end for _, end, _ in self.spans.values()), default=0.0)

    @property
    def ratio(self) -> float:
        """Return the seconds over their bound, 1 or more."""
        return self.seconds / self.bound if self.bound else 1.0


def simulate(
    jobs: Mapping[str, Job],
    estimates: Mapping[str, float],
    slots: Sequence[Slot],
    *,
    actual: Mapping[str, float] | None = None,
    done: Collection[str] = (),
    first_in_first_out: bool = False,
) -> Simulation:
    """Return how a graph runs where no worker dies.

    Args:
        jobs: by key, inputs before what needs them.
        estimates: seconds each job is expected to take.
        slots: where jobs run.
        actual: seconds each job takes. Default: as estimated.
        done: keys of jobs that are done already.
        first_in_first_out: start jobs in the order in which they become ready, for comparison.
    """
    actual = actual or estimates
    urgency = dict.fromkeys(jobs, 0.0) if first_in_first_out else critical_path(jobs, estimates)
    graph, by_name = dependencies(jobs), {slot.name: slot for slot in slots}
    ready: list[Job] = []
    running: list[tuple[float, int, Attempt]] = []  # a heap by end
    spans: dict[str, tuple[float, float, str]] = {}
    now = 0.0
    while True:
        while new := graph.get_ready():
            for key in new:
                if key in done:
                    graph.done(key)
                else:
                    insort(ready, jobs[key], key=lambda job: -urgency[job.key])
        attempts = [attempt for _, _, attempt in running]
        for job, slot in place(ready, estimates, by_name, attempts, now):
            spans[job.key] = (now, now + actual[job.key], slot)
            attempt = Attempt(job, slot, now, estimates[job.key])
            heapq.heappush(running, (now + actual[job.key], len(spans), attempt))
        ready = [job for job in ready if job.key not in spans]
        if not running:
            break
        now, _, ended = heapq.heappop(running)
        graph.done(ended.job.key)
    left = {key: 0.0 if key in done else actual[key] for key in jobs}
    return Simulation(spans, lower_bound(jobs, left, slots))
