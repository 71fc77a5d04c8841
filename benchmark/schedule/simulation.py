"""A run in virtual time, by the loop that runs jobs, so that its schedule can be measured."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from hashattack.benchmark.engines.base import HARNESS, Engine, Function, Slot
from hashattack.benchmark.jobs import Job
from hashattack.benchmark.schedule.execution import JobRecords
from hashattack.benchmark.schedule.loop import Loop, critical_path


@dataclass(frozen=True)
class Makespan:
    """How long a graph takes, in seconds, and a lower bound of it."""

    seconds: float
    bound: float

    @property
    def ratio(self) -> float:
        """Return the makespan over its bound, 1 or more."""
        return self.seconds / self.bound if self.bound else 1.0


class SimulatedRun(Engine, JobRecords):
    """An engine without workers, and the records of its jobs: each takes its virtual seconds."""

    def __init__(
        self, slots: Iterable[Slot], seconds: Mapping[str, float], done: Collection[str] = ()
    ) -> None:
        """Take the slots, the seconds every job takes, and the jobs done before, by key."""
        self._slots = {slot.name: slot for slot in slots}
        self._seconds = seconds
        self._cached = done
        self._clock = 0.0
        self._running: list[tuple[float, int, str, Future[Any]]] = []  # a heap by end
        self._started: dict[str, int] = {}  # their numbers, by key
        self._ended: set[str] = set()

    def slots(self) -> Mapping[str, Slot]:
        """Return all slots; none ever dies."""
        return self._slots

    def submit(
        self, slot: str, function: Function, /, *, isolation: str = HARNESS, **arguments: Any
    ) -> Future[Any]:
        """Start a job."""
        del slot, function, isolation
        key, future = arguments["job"].key, Future[Any]()
        number = self._started[key] = len(self._started)
        heapq.heappush(self._running, (self._clock + self._seconds[key], number, key, future))
        return future

    def wait(self, futures: Collection[Future[Any]], timeout: float) -> Collection[Future[Any]]:
        """Advance the clock to the end of the next job."""
        del futures, timeout
        if not self._running:
            return ()
        self._clock, _, key, future = heapq.heappop(self._running)
        self._ended.add(key)
        future.set_result({"status": "ok", "reason": ""})
        return (future,)

    def now(self) -> float:
        """Return the virtual time in seconds."""
        return self._clock

    def replace(self, slot: str) -> None:
        """Do nothing: no worker dies."""

    def close(self) -> None:
        """Do nothing."""

    def known_status(self, job: Job) -> tuple[str, str] | None:
        """Return whether a job was done before."""
        return ("cached", "") if job.key in self._cached else None

    def call(self, job: Job, torch_device: str) -> tuple[Function, dict[str, Any]]:
        """Return a function that is not called, with the job."""
        del torch_device
        return dict, {"job": job}

    def tries(self, job: Job) -> int:
        """Return 1 for a job that has started."""
        return int(job.key in self._started)

    def finished(self, job: Job) -> bool:
        """Return whether a job has ended."""
        return job.key in self._ended

    def progress(self, job: Job) -> None:
        """Return no progress."""
        del job


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
        estimates: seconds the loop expects each job to take.
        slots: where jobs run.
        actual: seconds each job takes. Default: as estimated.
        done: keys of jobs that are done already.
        first_in_first_out: start jobs in the order in which they become ready, for comparison.
    """
    actual = actual or estimates
    run = SimulatedRun(slots, actual, done)
    Loop(
        jobs,
        estimates,
        engine=run,
        records=run,
        urgency=dict.fromkeys(jobs, 0.0) if first_in_first_out else None,
        patience=math.inf,
    ).run()
    left = {key: 0.0 if key in done else actual[key] for key in jobs}
    return Makespan(run.now(), lower_bound(jobs, left, slots))


def lower_bound(
    jobs: Mapping[str, Job], seconds: Mapping[str, float], slots: Sequence[Slot]
) -> float:
    """Return the seconds that no schedule can beat: the critical path, or all work over all slots.

    A timed job takes all slots of its device, so its work counts for each of them.
    """
    sharing = min(Counter(slot.device for slot in slots).values())
    work = sum(seconds[key] * (sharing if job.resources.timed else 1) for key, job in jobs.items())
    longest = max(critical_path(jobs, seconds).values(), default=0.0)
    return max(longest, work / len(slots))
