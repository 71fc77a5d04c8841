"""The graph loop: a job starts the moment its inputs are done and a slot is free.

Only the records say whether a job is done. A job whose worker dies or hangs is tried again, up to
three times. A failed job blocks only the jobs that depend on it. Every wait has an end.
"""

from __future__ import annotations

import logging
import math
import time
from bisect import insort
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from hashattack.benchmark.engines.base import Engine, EngineError
from hashattack.benchmark.jobs import Job
from hashattack.benchmark.progress.events import Event, EventKind, Listener
from hashattack.benchmark.schedule.attempts import (
    Attempt,
    critical_path,
    dependencies,
    lower_bound,
    place,
)
from hashattack.benchmark.schedule.execution import JobRecords
from hashattack.benchmark.schedule.interrupts import RunStoppedError, StopRequest
from hashattack.datasets.texts import error_line

logger = logging.getLogger(__name__)

TRIES = 3
_TURN_SECONDS = 0.25
_LEFT_SECONDS = 1.0  # between two estimates of how much is left of all jobs
_READ_SECONDS = 1.0  # a turn, for reading what is done already
_STILL_SECONDS = 10.0  # a turn that takes longer was not the jobs' fault
_RECORD_SECONDS = 90.0  # for a record to appear on a shared file system
_NO_SLOT_SECONDS = 600.0  # without a live worker until the run gives up


@dataclass
class RunOutcome:
    """How every job of a graph ended, by key."""

    status: dict[str, str] = field(default_factory=dict)  # cached, ok, failed, invalid, blocked
    reasons: dict[str, str] = field(default_factory=dict)

    def count(self, status: str) -> int:
        """Return how many jobs ended with this status."""
        return sum(value == status for value in self.status.values())


class Loop:
    """One run of a graph."""

    def __init__(
        self,
        jobs: Mapping[str, Job],
        seconds: Mapping[str, float],
        *,
        engine: Engine,
        records: JobRecords,
        listeners: Sequence[Listener] = (),
        stop: StopRequest | None = None,
        patience: float = 900.0,
        suspects: Collection[str] = (),
    ) -> None:
        """Prepare a run of jobs by key, inputs first, that are expected to take some seconds.

        Every event goes to the listeners. A job may show no progress for ``patience`` seconds, or
        longer where that is usual for it. ``suspects`` are keys of jobs that may kill the whole
        run: each runs alone, after all others.
        """
        self._jobs, self._seconds = jobs, seconds
        self._engine, self._records, self._listeners = engine, records, listeners
        self._stop, self._patience = stop or StopRequest(), patience
        self._suspects = frozenset(suspects)
        self._urgency = critical_path(jobs, seconds)
        self._graph = dependencies(jobs)
        self._outcome = RunOutcome()
        self._unread: deque[str] = deque()  # jobs whose inputs have ended, records not read yet
        self._ready: list[Job] = []  # jobs that can start, the most urgent first
        self._running: dict[Future[Any], Attempt] = {}
        self._answered: dict[Attempt, float] = {}  # without a record yet, and since when
        self._deaths: Counter[str] = Counter()  # of a job's workers
        self._jobs_not_started: defaultdict[str, set[str]] = defaultdict(set)  # on a slot, in a row
        self._left, self._left_at = 0.0, -math.inf  # seconds until the end, and when it was found
        self._last_turn = self._slot_seen = engine.now()
        self._fatal: str | None = None  # why the run cannot go on
        self._stopping = False

    def run(self) -> RunOutcome:
        """Run every job that is not done, and return how each ended.

        Raises:
            RunStoppedError: the user or a full disk stopped it; finished jobs are kept.
            EngineError: no worker is left.
        """
        self._notify("begin", jobs=len(self._jobs))
        self._unread.extend(self._graph.get_ready())
        while self._graph.is_active():
            self._check_stop()
            self._read_records()
            if not self._stopping:
                self._submit()
            timeout = 0.0 if self._unread else _TURN_SECONDS
            for future in list(self._engine.wait(self._running, timeout)):
                self._collect(self._running.pop(future), future)
            self._watch()
        return self._outcome

    def _notify(self, kind: EventKind, job: Job | None = None, **fields: Any) -> None:
        left = self._seconds_left()
        for listener in self._listeners:
            listener(Event(kind, job, left=left, **fields))

    def _seconds_left(self) -> float:
        """Return the least seconds until the run ends, by estimates and by what runs now."""
        now, ended = self._engine.now(), self._outcome.status
        if len(ended) == len(self._jobs):
            return 0.0
        slots = list(self._engine.slots().values())
        if slots and now - self._left_at >= _LEFT_SECONDS:
            left = {key: 0.0 if key in ended else self._seconds[key] for key in self._jobs}
            left |= {one.job.key: one.remaining(now) for one in self._running.values()}
            self._left, self._left_at = lower_bound(self._jobs, left, slots), now
        return self._left

    def _read_records(self) -> None:
        """Find out which jobs must run, of those whose inputs have all ended.

        This may take long, as large files are hashed; stop requests are read in between.
        """
        ends = time.monotonic() + _READ_SECONDS
        while self._unread and time.monotonic() < ends:
            job = self._jobs[self._unread.popleft()]
            reasons = self._outcome.reasons  # of jobs that failed, are invalid or blocked
            failed = [ref.key for ref in job.inputs.values() if ref.key in reasons]
            if failed:
                self._end(job, "blocked", reasons[failed[0]])
            elif known := self._records.known_status(job):
                self._end(job, *known)
            else:
                self._add_ready(job)

    def _add_ready(self, job: Job) -> None:
        insort(self._ready, job, key=lambda one: -self._urgency[one.key])

    def _submit(self) -> None:
        live, now = self._engine.slots(), self._engine.now()
        slots = {
            name: slot for name, slot in live.items() if len(self._jobs_not_started[name]) < TRIES
        }
        if slots:
            self._slot_seen = now
        elif not self._running and (live or now - self._slot_seen > _NO_SLOT_SECONDS):
            raise EngineError(
                "no worker is left: they die before they start a job. Finished jobs are kept; when "
                "workers can start again, the same command continues"
            )
        others = [job for job in self._ready if job.key not in self._suspects]
        alone = not (others or self._running or self._answered or self._unread)
        ready = self._ready[:1] if alone else others
        placed = place(ready, self._seconds, slots, self._running.values(), now)
        starting = {job.key for job, _ in placed}
        self._ready = [job for job in self._ready if job.key not in starting]
        for job, slot in placed:
            starts = self._records.starts(job)
            attempt = Attempt(job, slot, now, self._seconds[job.key], starts)
            function, arguments = self._records.call(job, slots[slot].torch_device)
            try:
                future = self._engine.submit(slot, function, isolation=job.isolation, **arguments)
            except EngineError as error:
                self._worker_died(attempt, str(error))
                continue
            self._running[future] = attempt
            self._notify("started", job, slot=slot)

    def _collect(self, attempt: Attempt, future: Future[Any]) -> None:
        error = future.exception() if not future.cancelled() else EngineError("it was cancelled")
        if error is not None:
            self._worker_died(attempt, error_line(error))
            return
        status, reason = future.result()["status"], future.result()["reason"]
        if attempt.started(self._records):
            self._jobs_not_started[attempt.slot].clear()
        if status in ("memory", "crashed"):  # the process cannot be used again
            self._engine.replace(attempt.slot)
        match status:
            case "ok" if not self._records.finished(attempt.job):
                self._answered[attempt] = self._engine.now()
            case "memory" if self._records.halve(attempt.job):
                self._retry(attempt, f"{reason}; trying half the batch")
            case "memory":
                batch = attempt.job.resources.batch
                at = f" at batch {batch}, which cannot be split" if batch else ""
                self._fail(attempt, f"out of memory{at}: {reason}")
            case "crashed":
                self._retry_or_fail(attempt, reason)
            case "full":
                self._fatal = reason
                self._retry(attempt, reason)
            case _:
                self._end(attempt.job, status, reason, attempt.began)

    def _worker_died(self, attempt: Attempt, why: str) -> None:
        """Handle a worker that died or is given up."""
        self._engine.replace(attempt.slot)
        if self._records.finished(attempt.job):
            self._end(attempt.job, "ok", began=attempt.began)
        else:
            self._retry_or_fail(attempt, why)

    def _retry_or_fail(self, attempt: Attempt, why: str) -> None:
        """Try a job again whose attempt had no result, up to three times.

        Where the job had not started, the fault may be the job's or the slot's: a slot on which
        three jobs in a row did not start is not used any more.
        """
        key, slot = attempt.job.key, attempt.slot
        if not attempt.started(self._records):
            self._jobs_not_started[slot].add(key)
            if len(self._jobs_not_started[slot]) == TRIES:
                logger.error("%s is not used any more, its workers die at once: %s", slot, why)
        self._deaths[key] += 1
        if self._deaths[key] < TRIES:
            self._retry(attempt, why)
        else:
            self._fail(attempt, f"its worker died {TRIES} times ({why})")

    def _retry(self, attempt: Attempt, why: str) -> None:
        self._notify("retry", attempt.job, slot=attempt.slot, reason=why)
        self._add_ready(attempt.job)

    def _fail(self, attempt: Attempt, reason: str) -> None:
        try:
            reason = self._records.fail(attempt.job, reason)
        except OSError as error:
            self._fatal = f"the failure of {attempt.job.label} could not be recorded: {error}"
        self._end(attempt.job, "failed", reason, attempt.began)

    def _end(self, job: Job, status: str, reason: str = "", began: float | None = None) -> None:
        """Note how a job ended, which ``began`` unless it did not run; free what waited for it."""
        self._graph.done(job.key)
        self._unread.extend(self._graph.get_ready())
        self._outcome.status[job.key] = status
        if status not in ("ok", "cached"):
            label = "" if status == "blocked" else f"{job.label}: "
            self._outcome.reasons[job.key] = label + reason
        seconds = 0.0 if began is None else self._engine.now() - began
        self._notify("ended", job, status=status, reason=reason, seconds=seconds)

    def _watch(self) -> None:
        """Report progress; give up workers that hang, are gone or do not answer."""
        now = self._engine.now()
        turn, self._last_turn = now - self._last_turn, now
        for future, attempt in list(self._running.items()):
            if turn > _STILL_SECONDS:
                attempt.allow(turn)
            if attempt.new_progress(now, self._records):
                self._notify("progress", attempt.job, progress=attempt.progress)
            alive = self._engine.alive(attempt.slot)
            why = attempt.given_up(now, self._records, self._patience, alive=alive)
            if why is not None:
                del self._running[future]
                self._worker_died(attempt, why)
        for attempt, since in list(self._answered.items()):
            if self._records.finished(attempt.job):
                del self._answered[attempt]
                self._end(attempt.job, "ok", began=attempt.began)
            elif now - since > _RECORD_SECONDS:
                del self._answered[attempt]
                self._fail(attempt, f"its record did not appear in {_RECORD_SECONDS:.0f} s")

    def _check_stop(self) -> None:
        """Stop, or start nothing new, where the user requests it or the disk is full."""
        signal = self._stop.signal
        if signal is None and self._fatal is None:
            return
        if not self._stopping:
            self._stopping = True
            running = [attempt.job.label for attempt in self._running.values()]
            self._notify("stopping", running=running)
        if self._stop.at_once or not (self._running or self._answered):
            by_signal = "" if signal is None else f"{signal.name} stopped the run"
            raise RunStoppedError(self._fatal or by_signal, signal)
