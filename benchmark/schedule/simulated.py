"""An engine without workers: jobs take their time on a clock that jumps."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from hashattack.benchmark.engines.base import HARNESS, Engine, Slot
from hashattack.benchmark.jobs import Job


class SimulatedEngine(Engine):
    """Ends each job after its seconds of virtual time."""

    def __init__(self, slots: Iterable[Slot], seconds: Mapping[str, float]) -> None:
        """Take the slots, and the seconds every job really takes, by key."""
        self._slots = {slot.name: slot for slot in slots}
        self._seconds = seconds
        self._clock = 0.0
        self._ends: list[tuple[float, int, Future[Any]]] = []
        self._number = itertools.count()
        self.busy = 0.0  # seconds of work done, over all slots

    def slots(self) -> Mapping[str, Slot]:
        """Return all slots; none ever dies."""
        return self._slots

    def submit(
        self, slot: str, function: Callable[..., Any], /, *, room: str = HARNESS, **arguments: Any
    ) -> Future[Any]:
        """Let a job begin."""
        del slot, function, room
        job: Job = arguments["job"]
        future: Future[Any] = Future()
        self.busy += self._seconds[job.key]
        ends = self._clock + self._seconds[job.key]
        heapq.heappush(self._ends, (ends, next(self._number), future))
        return future

    def wait(self, futures: Collection[Future[Any]], timeout: float) -> Collection[Future[Any]]:
        """Jump to the moment when the next job ends."""
        del futures, timeout
        if not self._ends:
            return ()
        self._clock, _, future = heapq.heappop(self._ends)
        future.set_result({"status": "ok", "reason": ""})
        return (future,)

    def now(self) -> float:
        """Return the virtual time in seconds."""
        return self._clock

    def replace(self, slot: str) -> None:
        """Do nothing: nothing dies."""

    def close(self) -> None:
        """Do nothing."""
