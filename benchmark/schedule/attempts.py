"""One attempt at a job, and how long it may show no progress."""

from __future__ import annotations

from dataclasses import dataclass

from hashattack.benchmark.jobs import Job
from hashattack.benchmark.schedule.records import JobRecords

_START_SECONDS = 300.0  # for a worker's process to start and take its job
_LOST_SECONDS = 30.0  # from a done record until its future is given up
_DEAD_SECONDS = 10.0  # from the end of a worker's process until its future is given up


@dataclass(frozen=True)
class Patience:
    """How long a running job may show no progress before its worker is killed, in seconds.

    At least ``least``. A job that reports progress may pause ``factor`` times as long as its
    longest pause so far, one that never did ``factor`` times its estimate.
    """

    least: float = 900.0
    factor: float = 20.0


class Attempt:
    """A job on a slot, from its submission on."""

    def __init__(
        self, job: Job, slot: str, began: float, seconds: float, tries_before: int = 0
    ) -> None:
        """Take the job, its slot, when it was submitted, and the seconds it is expected to take.

        ``tries_before`` counts the job's earlier attempts that started.
        """
        self.job, self.slot, self.began, self.seconds = job, slot, began, seconds
        self.progress: tuple[int, int, str] | None = None  # done, total, unit
        self._tries_before = tries_before
        self._started = False
        self._active = began  # when it last made progress
        self._longest_pause = 0.0
        self._done_since: float | None = None
        self._dead_since: float | None = None

    def started(self, records: JobRecords) -> bool:
        """Return whether its worker has left a start marker, so that it counts as a try."""
        self._started = self._started or records.tries(self.job) > self._tries_before
        return self._started

    def new_progress(self, now: float, records: JobRecords) -> bool:
        """Read ``progress``; return whether it has changed."""
        found = records.progress(self.job)
        if found is None or found == self.progress:
            return False
        if self.progress is not None:
            self._longest_pause = max(self._longest_pause, now - self._active)
        self.progress, self._active = found, now
        return True

    def allow(self, seconds: float) -> None:
        """Do not count some seconds as a pause: the loop itself stood still."""
        self._active += seconds

    def given_up(
        self, now: float, records: JobRecords, patience: Patience, *, alive: bool
    ) -> str | None:
        """Return why the worker is to be replaced, or None.

        Args:
            now: the engine's time.
            records: of the run.
            patience: with pauses.
            alive: whether the worker's process is.
        """
        if self._done_since is None and records.finished(self.job):
            self._done_since = now
        if self._done_since is not None and now - self._done_since > _LOST_SECONDS:
            return "its record is written and its worker does not answer"
        if alive or self._dead_since is None:
            self._dead_since = None if alive else now
        if self._dead_since is not None and now - self._dead_since > _DEAD_SECONDS:
            return "its worker is gone"
        if not self._started:
            if self.started(records):
                self._active = now
            elif now - self.began > _START_SECONDS:
                return f"its worker did not start it in {_START_SECONDS:.0f} s"
            return None
        usual = self.seconds if self.progress is None else self._longest_pause
        pause = now - self._active
        if pause <= max(patience.least, patience.factor * usual):
            return None
        return f"it showed no progress for {pause:.0f} s and was stopped"
