"""Which ready job runs on which free slot: the most urgent first.

A timed job gets its device alone. Where slots share a device and the most urgent job is timed, the
device that is idle first is reserved for it; only jobs that end before then may still start there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hashattack.benchmark.engines.base import Slot
from hashattack.benchmark.jobs import Job
from hashattack.benchmark.schedule.attempts import Attempt


@dataclass
class _Device:
    """A device in this turn."""

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
    """Return which job starts on which slot.

    Args:
        jobs: that can start, the most urgent first.
        seconds: that each is expected to take, by key.
        slots: those with a live worker, by name.
        running: the attempts that run now.
        now: the engine's time.
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
