"""Attempts at jobs: which job starts first and where, and how long it may show no progress."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter

from hashattack.benchmark.engines.base import Slot
from hashattack.benchmark.jobs import Job
from hashattack.benchmark.schedule.execution import JobRecords

_START_SECONDS = 300.0  # for a worker's process to start and take its job
_LOST_SECONDS = 30.0  # from a done record until its future is given up
_DEAD_SECONDS = 10.0  # from the end of a worker's process until its future is given up
_PATIENCE_FACTOR = 20.0  # a job may pause so many times as long as is usual for it


@dataclass(eq=False)
class Attempt:
    """A job on a slot, from its submission on."""

    job: Job
    slot: str
    began: float  # when it was submitted
    seconds: float  # that it is expected to take
    starts_before: int = 0  # of attempts at the job
    progress: tuple[int, int, str] | None = None  # done, total, unit

    def __post_init__(self) -> None:
        self._started = False
        self._active = self.began  # when it last made progress
        self._first: tuple[float, int] | None = None  # when its first progress was seen, and what
        self._longest_pause = 0.0
        self._since: dict[str, float] = {}  # faults, and when each was first seen

    def started(self, records: JobRecords) -> bool:
        """Return whether its worker has left a start marker."""
        self._started = self._started or records.starts(self.job) > self.starts_before
        return self._started

    def new_progress(self, now: float, records: JobRecords) -> bool:
        """Read ``progress``; return whether it has changed."""
        found = records.progress(self.job)
        if found is None or found == self.progress:
            return False
        if self.progress is not None:
            self._longest_pause = max(self._longest_pause, now - self._active)
        same_work = self.progress is not None and self.progress[1:] == found[1:]
        self._first = self._first if same_work else (now, found[0])
        self.progress, self._active = found, now
        return True

    def remaining(self, now: float) -> float:
        """Return the seconds that it still takes, at the rate of its progress or as expected."""
        if self.progress is not None and self._first is not None:
            (done, total, _), (since, before) = self.progress, self._first
            if done > before:
                return (self._active - since) / (done - before) * (total - done)
        return max(0.0, self.seconds - (now - self.began))

    def allow(self, seconds: float) -> None:
        """Do not count some seconds as a pause: the loop itself stood still."""
        self._active += seconds

    def given_up(
        self, now: float, records: JobRecords, patience: float, *, alive: bool
    ) -> str | None:
        """Return why the worker is to be replaced, or None.

        A job may pause for ``patience`` seconds, or longer where that is usual for it: a multiple
        of its longest pause so far, or of its estimate where it reports no progress.
        """
        if not self._started:
            self._active = now  # its time begins when its start marker is seen
        faults = (
            ("its worker did not return its result", records.finished(self.job), _LOST_SECONDS),
            ("its worker was gone", not alive, _DEAD_SECONDS),
            ("its worker did not start it", not self.started(records), _START_SECONDS),
        )
        for why, holds, limit in faults:
            if not holds:
                self._since.pop(why, None)
            elif now - self._since.setdefault(why, now) > limit:
                return f"{why} for {limit:.0f} s"
        usual = self.seconds if self.progress is None else self._longest_pause
        pause = now - self._active
        if pause <= max(patience, _PATIENCE_FACTOR * usual):
            return None
        return f"it showed no progress for {pause:.0f} s and was stopped"


def dependencies(jobs: Mapping[str, Job]) -> TopologicalSorter[str]:
    """Return a prepared sorter of the keys: a job is ready when its inputs are done."""
    graph = {key: [ref.key for ref in job.inputs.values()] for key, job in jobs.items()}
    sorter = TopologicalSorter(graph)
    sorter.prepare()
    return sorter


def critical_path(jobs: Mapping[str, Job], seconds: Mapping[str, float]) -> dict[str, float]:
    """Return for each job the seconds of the longest chain that starts with it."""
    length = dict.fromkeys(jobs, 0.0)
    for key in reversed(list(jobs)):  # jobs come inputs first
        length[key] += seconds[key]
        for ref in jobs[key].inputs.values():
            length[ref.key] = max(length[ref.key], length[key])
    return length


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


@dataclass
class _Device:
    """A device when jobs are placed."""

    idle_at: float  # when the last of its jobs is expected to end
    free: list[str] = field(default_factory=list)
    slots: int = 0
    timed: bool = False  # it runs a timed job
    reserved: bool = False  # for a timed job

    def admits(self, job: Job, ends: float) -> bool:
        if self.timed or not self.free:
            return False
        if job.resources.timed:
            return len(self.free) == self.slots and not self.reserved
        return not self.reserved or ends <= self.idle_at


def place(
    jobs: Iterable[Job],
    seconds: Mapping[str, float],
    slots: Mapping[str, Slot],
    running: Iterable[Attempt],
    now: float,
) -> list[tuple[Job, str]]:
    """Return which of the ``jobs``, the most urgent first, starts on which free slot.

    A timed job gets its device alone. Where slots share a device and no device is free for the
    most urgent timed job, the one that is idle first is reserved for it; only jobs that end before
    then may still start there. ``seconds`` are estimates by key.
    """
    busy = {attempt.slot: attempt for attempt in running}
    by_name: dict[str, _Device] = {}
    for name, slot in slots.items():
        device = by_name.setdefault(slot.device, _Device(now))
        device.slots += 1
        if name in busy:
            device.timed |= busy[name].job.resources.timed
            device.idle_at = max(device.idle_at, busy[name].began + busy[name].seconds)
        else:
            device.free.append(name)
    devices = list(by_name.values())
    placed = []
    for job in jobs:
        if not any(device.free for device in devices):
            break
        ends = now + seconds[job.key]
        admitting = [device for device in devices if device.admits(job, ends)]
        if admitting:
            # Jobs that can share fill a device that others use already.
            device = min(admitting, key=lambda one: (len(one.free), one.slots))
            device.timed = job.resources.timed
            device.idle_at = max(device.idle_at, ends)
            placed.append((job, device.free.pop(0)))
        elif job.resources.timed:
            available = [one for one in devices if not one.reserved and not one.timed]
            if available:
                min(available, key=lambda one: one.idle_at).reserved = True
    return placed
