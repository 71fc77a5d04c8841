"""Which ready job goes to which free slot: the longest way to the end first.

A job that is timed for a table gets its device alone. Where slots share a device, one is kept free
for it when it is the most urgent; what surely ends before the device is idle may still go there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hashattack.benchmark.engines.base import Slot
from hashattack.benchmark.jobs import Job


@dataclass(frozen=True)
class Request:
    """A job that wants a slot, with an estimate of its seconds."""

    job: Job
    seconds: float

    @property
    def alone(self) -> bool:
        """Return whether it needs all slots of its device."""
        return self.job.resources.timed


class Occupant(Protocol):
    """What runs on a slot."""

    @property
    def request(self) -> Request:
        """What it is."""

    @property
    def ends(self) -> float:
        """When it is expected to end."""


@dataclass
class _Device:
    """A device as it is in this turn."""

    free: list[str] = field(default_factory=list)
    slots: int = 0
    idle_at: float = 0.0  # when the last of its jobs is expected to end
    taken: bool = False  # by a job that runs alone
    kept: bool = False  # for one that shall

    def admits(self, request: Request, now: float) -> bool:
        if self.taken or not self.free:
            return False
        if request.alone:
            return len(self.free) == self.slots and not self.kept
        return not self.kept or now + request.seconds <= self.idle_at

    def take(self, request: Request, now: float) -> str:
        self.taken = request.alone
        self.idle_at = max(self.idle_at, now + request.seconds)
        return self.free.pop(0)


def place(
    requests: Iterable[Request],
    slots: Mapping[str, Slot],
    running: Mapping[str, Occupant],
    now: float,
) -> list[tuple[str, Request]]:
    """Return which slot takes which job.

    Args:
        requests: jobs that can start, the most urgent first.
        slots: those with a live worker, by name.
        running: what runs, by slot.
        now: the engine's time.
    """
    devices = _devices(slots, running, now)
    placed: list[tuple[str, Request]] = []
    for request in requests:
        if not any(device.free for device in devices):
            break
        open_to = [device for device in devices if device.admits(request, now)]
        if open_to:
            # Jobs that can share fill a device that others are on already.
            device = min(open_to, key=lambda one: (len(one.free), one.slots))
            placed.append((device.take(request, now), request))
        elif request.alone:
            _keep_one(devices)
    return placed


def _devices(
    slots: Mapping[str, Slot], running: Mapping[str, Occupant], now: float
) -> Sequence[_Device]:
    devices: dict[str, _Device] = {}
    for name, slot in slots.items():
        device = devices.setdefault(slot.device, _Device(idle_at=now))
        device.slots += 1
        if name in running:
            device.taken |= running[name].request.alone
            device.idle_at = max(device.idle_at, running[name].ends)
        else:
            device.free.append(name)
    return list(devices.values())


def _keep_one(devices: Sequence[_Device]) -> None:
    """Keep the device that is idle first; nothing where all are kept or run a job alone."""
    candidates = [device for device in devices if not device.kept and not device.taken]
    if candidates:
        min(candidates, key=lambda one: one.idle_at).kept = True
