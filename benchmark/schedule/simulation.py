"""A run in virtual time, by the loop that runs jobs, so that its schedule can be measured."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from hashattack.benchmark.engines.base import HARNESS, Engine, Function, Slot
from hashattack.benchmark.jobs import Job
from hashattack.benchmark.schedule.attempts import Patience
from hashattack.benchmark.schedule.loop import Loop, critical_path
from hashattack.benchmark.schedule.records import JobRecords


@dataclass(frozen=True)
class Makespan:
    """How long a graph takes, in seconds, and a lower bound of it."""

    seconds: float
    bound: float

    @property
    def ratio(self) -> float:
        """Return the makespan over its bound, 1 or more."""
        return self.seconds / self.bound if self.bound else 1.0


class SimulatedEngine(Engine):
    """An engine without workers: each job ends after its seconds of virtual time."""

    def __init__(self, slots: Iterable[Slot], seconds: Mapping[str, float]) -> None:
        """Take the slots, and the seconds every job takes, by key."""
        self._slots = {slot.name: slot for slot in slots}
        self._seconds = seconds
        self._clock = 0.0
        self._ends: list[tuple[float, int, Future[Any], str]] = []  # a heap
        self._number = itertools.count()
        self.started: set[str] = set()  # keys of jobs
        self.finished: set[str] = set()

    def slots(self) -> Mapping[str, Slot]:
        """Return all slots; none ever dies."""
        return self._slots

    def submit(
        self, slot: str, function: Function, /, *, isolation: str = HARNESS, **arguments: Any
    ) -> Future[Any]:
        """Start a job."""
        del slot, function, isolation
        key, future = arguments["job"].key, Future[Any]()
        self.started.add(key)
        ends = self._clock + self._seconds[key]
        heapq.heappush(self._ends, (ends, next(self._number), future, key))
        return future

    def wait(self, futures: Collection[Future[Any]], timeout: float) -> Collection[Future[Any]]:
        """Advance the clock to the end of the next job."""
        del futures, timeout
        if not self._ends:
            return ()
        self._clock, _, future, key = heapq.heappop(self._ends)
        self.finished.add(key)
        future.set_result({"status": "ok", "reason": ""})
        return (future,)

    def now(self) -> float:
        """Return the virtual time in seconds."""
        return self._clock

    def replace(self, slot: str) -> None:
        """Do nothing: no worker dies."""

    def close(self) -> None:
        """Do nothing."""


class _SimulatedRecords(JobRecords):
    """Records without a folder, of jobs that neither fail nor report progress."""

    def __init__(self, done: Collection[str], engine: SimulatedEngine) -> None:
        self._done, self._engine = done, engine

    def known_status(self, job: Job) -> tuple[str, str] | None:
        return ("cached", "") if job.key in self._done else None

    def call(self, job: Job, torch_device: str) -> tuple[Function, dict[str, Any]]:
        del torch_device
        return dict, {"job": job}

    def tries(self, job: Job) -> int:
        return int(job.key in self._engine.started)

    def finished(self, job: Job) -> bool:
        return job.key in self._engine.finished

    def progress(self, job: Job) -> None:
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
    engine = SimulatedEngine(slots, actual)
    Loop(
        jobs,
        estimates,
        engine=engine,
        records=_SimulatedRecords(done, engine),
        urgency=dict.fromkeys(jobs, 0.0) if first_in_first_out else None,
        patience=Patience(least=math.inf),
    ).run()
    left = {key: 0.0 if key in done else actual[key] for key in jobs}
    return Makespan(engine.now(), lower_bound(jobs, left, slots))


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
