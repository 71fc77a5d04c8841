"""One attempt at a job, and how long its silence is borne."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.jobs import Job
from benchmark.schedule.ledger import Ledger
from benchmark.schedule.placement import Request

_START_SECONDS = 300.0  # for a worker's process to start and take its first job
_LOST_SECONDS = 30.0  # from a done record until its silent future is given up


@dataclass(frozen=True)
class Patience:
    """How long a running job may show no progress before its worker is killed, in seconds."""

    least: float = 900.0
    factor: float = 20.0  # times the estimate, for jobs that report nothing

    def of(self, seconds: float) -> float:
        """Return the patience with a job that is estimated to take so long."""
        return max(self.least, self.factor * seconds)


class Attempt:
    """A job on a slot, from its submission on."""

    def __init__(self, request: Request, slot: str, now: float, ledger: Ledger) -> None:
        self.request, self.slot, self.began = request, slot, now
        self._ledger = ledger
        self._heard = now  # when it last made progress
        self._told: tuple[int, int, str] | None = None
        self._tries_before = ledger.tries(request.job)
        self._at_work = False  # its worker has left a start marker
        self._done: float | None = None  # when its done record was first seen

    @property
    def job(self) -> Job:
        """The job."""
        return self.request.job

    @property
    def ends(self) -> float:
        """When it is expected to end."""
        return self.began + self.request.seconds

    def news(self, now: float) -> tuple[int, int, str] | None:
        """Return its progress (done, total, unit) where it has made some since the last look."""
        told = self._ledger.progress(self.job)
        if told is None or told == self._told:
            return None
        self._told, self._heard = told, now
        return told

    def given_up(self, now: float, patience: Patience) -> str | None:
        """Return why its worker is to be killed, or None."""
        if self._done is None and self._ledger.finished(self.job):
            self._done = now
        if self._done is not None and now - self._done > _LOST_SECONDS:
            return "it is done and its worker does not say so"
        silent = now - self._heard
        if silent <= patience.of(self.request.seconds):
            return None
        if not self._at_work and self._ledger.tries(self.job) > self._tries_before:
            self._at_work, self._heard = True, now  # it was slow to start: its time begins now
            return None
        if not self._at_work and now - self.began <= _START_SECONDS:
            return None
        return f"it showed no progress for {silent:.0f} s and was stopped"
