"""One attempt at a job, and how long its silence is borne."""

from __future__ import annotations

from dataclasses import dataclass

from hashattack.benchmark.jobs import Job
from hashattack.benchmark.schedule.ledger import Ledger
from hashattack.benchmark.schedule.placement import Request

_START_SECONDS = 300.0  # for a worker's process to start and take its job
_LOST_SECONDS = 30.0  # from a done record until its silent future is given up
_DEAD_SECONDS = 10.0  # from the end of a worker's process until its silent future is given up


@dataclass(frozen=True)
class Patience:
    """How long a running job may show no progress before its worker is killed, in seconds.

    At least ``least``. A job that tells of progress may pause ``factor`` times as long as it has
    paused so far, one that never told so many times its estimate.
    """

    least: float = 900.0
    factor: float = 20.0

    def of(self, usual: float) -> float:
        """Return the patience with a job that is usually silent for so long."""
        return max(self.least, self.factor * usual)


class Attempt:
    """A job on a slot, from its submission on."""

    def __init__(self, request: Request, slot: str, now: float, ledger: Ledger) -> None:
        self.request, self.slot, self.began = request, slot, now
        self._ledger = ledger
        self._heard = now  # when it last made progress
        self._told: tuple[int, int, str] | None = None
        self._longest = 0.0  # silence between two reports
        self._tries_before = ledger.tries(request.job)
        self._at_work = False  # its start marker was seen
        self._done: float | None = None  # when its done record was first seen
        self._dead: float | None = None  # when its worker's process was first missed

    @property
    def job(self) -> Job:
        """The job."""
        return self.request.job

    @property
    def ends(self) -> float:
        """When it is expected to end."""
        return self.began + self.request.seconds

    @property
    def started(self) -> bool:
        """Whether its worker has left a start marker, so that it counts as a try."""
        self._at_work = self._at_work or self._ledger.tries(self.job) > self._tries_before
        return self._at_work

    def news(self, now: float) -> tuple[int, int, str] | None:
        """Return its progress (done, total, unit) where it has made some since the last look."""
        told = self._ledger.progress(self.job)
        if told is None or told == self._told:
            return None
        if self._told is not None:
            self._longest = max(self._longest, now - self._heard)
        self._told, self._heard = told, now
        return told

    def excuse(self, seconds: float) -> None:
        """Do not count some seconds as silence: the loop itself stood still."""
        self._heard += seconds

    def given_up(self, now: float, patience: Patience, *, alive: bool) -> str | None:
        """Return why its worker is to be replaced, or None.

        Args:
            now: the engine's time.
            patience: with silence.
            alive: whether the worker's process is there.
        """
        if self._done is None and self._ledger.finished(self.job):
            self._done = now
        if self._done is not None and now - self._done > _LOST_SECONDS:
            return "it is done and its worker does not say so"
        self._dead = None if alive else now if self._dead is None else self._dead
        if self._dead is not None and now - self._dead > _DEAD_SECONDS:
            return "its worker is gone"
        if not self._at_work:
            if self.started:
                self._heard = now  # its time begins now
                return None
            late = now - self.began > _START_SECONDS
            return f"its worker did not start it in {_START_SECONDS:.0f} s" if late else None
        usual = self.request.seconds if self._told is None else self._longest
        silent = now - self._heard
        if silent <= patience.of(usual):
            return None
        return f"it showed no progress for {silent:.0f} s and was stopped"
