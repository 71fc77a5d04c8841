"""The graph loop: a job starts the moment its inputs are done and a slot is free.

Whether a job is done is the ledger's word alone. A job whose worker dies or hangs is tried again,
up to three times; a job that fails takes with it only what stands on it. No wait is without end.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from signal import Signals
from typing import Any

from benchmark.engines.base import Engine, EngineError
from benchmark.execution import Answer
from benchmark.interrupts import Wish
from benchmark.jobs import Job
from benchmark.ledger import Ledger
from benchmark.observers import Observer
from benchmark.placement import Request, place
from datasets.errors import UserError

logger = logging.getLogger(__name__)

TRIES = 3
_TURN_SECONDS = 0.25
_START_SECONDS = 300.0  # for a worker's process to start and take its first job
_LOST_SECONDS = 30.0  # from a done record until its silent future is given up
_NO_SLOT_SECONDS = 600.0  # without a live worker until the run gives up


class RunStoppedError(UserError):
    """A run that ended early; ``signal`` is what asked for it, None where it could not go on."""

    signal: Signals | None = None


@dataclass(frozen=True)
class Patience:
    """How long a running job may show no progress before its worker is killed, in seconds."""

    least: float = 900.0
    factor: float = 20.0  # times the estimate, for jobs that report nothing

    def of(self, seconds: float) -> float:
        """Return the patience with a job that is estimated to take so long."""
        return max(self.least, self.factor * seconds)


@dataclass
class Outcome:
    """How every job of a graph ended."""

    status: dict[str, str] = field(default_factory=dict)  # key -> cached, ok, failed, invalid…
    reasons: dict[str, str] = field(default_factory=dict)

    def count(self, status: str) -> int:
        """Return how many jobs ended so."""
        return sum(value == status for value in self.status.values())


@dataclass
class _Running:
    request: Request
    slot: str
    began: float
    heard: float  # when it last made progress
    tries: int  # before this attempt
    began_for_sure: bool = False  # its worker has left a start marker
    told: tuple[int, int, str] | None = None
    finished: float | None = None  # when its done record was first seen

    @property
    def job(self) -> Job:
        return self.request.job


class Loop:
    """One run of a graph."""

    def __init__(
        self,
        jobs: Mapping[str, Job],
        seconds: Mapping[str, float],
        *,
        engine: Engine,
        ledger: Ledger,
        observer: Observer,
        wish: Callable[[], Wish] = lambda: Wish.go_on,
        urgency: Mapping[str, float] | None = None,
        patience: Patience | None = None,
    ) -> None:
        """Prepare a run.

        Args:
            jobs: by key, inputs before what needs them.
            seconds: an estimate for each.
            engine: where they run.
            ledger: what is known about them.
            observer: who is told.
            wish: what the user asks for, looked at every turn.
            urgency: higher first. Default: the seconds of the longest chain a job starts.
            patience: with jobs that show no progress.
        """
        self._seconds = seconds
        self._engine, self._ledger, self._observer, self._wish = engine, ledger, observer, wish
        self._urgency = urgency or critical_path(jobs, seconds)
        self._patience = patience or Patience()
        self._outcome = Outcome()
        self._open = dict(jobs)  # jobs without an end
        self._work = sum(seconds[key] for key in jobs)
        self._inputs = {key: {ref.key for ref in job.inputs.values()} for key, job in jobs.items()}
        self._dependants: dict[str, list[str]] = {key: [] for key in jobs}
        for key, inputs in self._inputs.items():
            for before in inputs:
                self._dependants[before].append(key)
        self._ready: dict[str, Request] = {}  # the most urgent first
        self._running: dict[Future[Any], _Running] = {}
        self._deaths: Counter[str] = Counter()  # of a slot's workers before any job started
        self._slotless: float | None = None  # since when no slot is live
        self._halted: str | None = None
        self._told_to_finish = False

    def run(self) -> Outcome:
        """Run every job that is not done, and return how each ended.

        Raises:
            RunStoppedError: the user or a full disk stopped it; what is done is kept.
            EngineError: no worker is left.
        """
        self._observer.begin(len(self._open), self._left())
        self._settle([key for key, inputs in self._inputs.items() if not inputs])
        while self._open:
            self._heed()
            if not self._told_to_finish:
                self._submit()
            for future in list(self._engine.wait(self._running, _TURN_SECONDS)):
                self._collect(future)
            self._watch()
        return self._outcome

    # -- what can start --------------------------------------------------------------------

    def _settle(self, keys: Iterable[str]) -> None:
        """Close or make ready jobs whose inputs have all ended, and what follows from it."""
        queue = list(keys)
        fresh: list[Request] = []
        for key in queue:
            job = self._open[key]
            broken = [
                before
                for before in self._inputs[key]
                if self._outcome.status[before] not in ("ok", "cached")
            ]
            if broken:
                verdict: tuple[str, str] | None = "blocked", self._outcome.reasons[broken[0]]
            else:
                verdict = self._ledger.verdict(job)
            if verdict is None:
                fresh.append(Request(job, self._seconds[key]))
            else:
                queue += self._record(job, *verdict, 0.0)
        self._make_ready(fresh)

    def _make_ready(self, requests: Iterable[Request]) -> None:
        self._ready.update((request.job.key, request) for request in requests)
        order = sorted(self._ready, key=lambda key: -self._urgency[key])
        self._ready = {key: self._ready[key] for key in order}

    def _submit(self) -> None:
        slots = {
            name: slot for name, slot in self._engine.slots().items() if self._deaths[name] < TRIES
        }
        now = self._engine.now()
        self._check_slots(bool(slots), now)
        busy = {
            run.slot: (run.request, run.began + run.request.seconds)
            for run in self._running.values()
        }
        for name, request in place(self._ready.values(), slots, busy, now):
            job = request.job
            function, arguments = self._ledger.call(job, slots[name].torch_device)
            try:
                future = self._engine.submit(name, function, **arguments)
            except EngineError as error:
                self._bury(name, str(error))
                continue
            del self._ready[job.key]
            self._running[future] = _Running(request, name, now, now, self._ledger.tries(job))
            self._observer.started(job, name)

    def _check_slots(self, live: bool, now: float) -> None:
        if live or self._running:
            self._slotless = None
            return
        self._slotless = now if self._slotless is None else self._slotless
        broken = bool(self._engine.slots())  # there are some, and all were given up
        if broken or now - self._slotless > _NO_SLOT_SECONDS:
            raise EngineError(
                "no worker is left: they die before they start a job. What is done is kept; when "
                "workers can start again, the same command continues"
            )

    # -- what ended ------------------------------------------------------------------------

    def _collect(self, future: Future[Any]) -> None:
        run = self._running.pop(future)
        error = future.exception() if not future.cancelled() else EngineError("it was cancelled")
        if error is not None:
            self._died(run, f"{type(error).__name__}: {error}")
            return
        self._deaths[run.slot] = 0
        answer = Answer(**future.result())
        if answer.spoilt:
            self._engine.replace(run.slot)
        if answer.status == "memory" and self._ledger.halve(run.job):
            self._again(run, f"{answer.reason}; trying half the batch")
        elif answer.status == "memory":
            at = f" at batch {run.job.task.batch}" if run.job.task.batch else ""
            self._fail(run, f"out of memory{at}, which cannot be split: {answer.reason}")
        elif answer.status == "crashed":
            self._retry(run, answer.reason)
        elif answer.status == "full":
            self._halted = answer.reason
            self._again(run, answer.reason)
        else:
            self._close(run.job, answer.status, answer.reason, self._engine.now() - run.began)

    def _died(self, run: _Running, why: str) -> None:
        """Deal with a worker that ended without an answer."""
        self._engine.replace(run.slot)
        if self._ledger.finished(run.job):
            self._close(run.job, "ok", "", self._engine.now() - run.began)
        elif self._ledger.tries(run.job) == 0:
            self._bury(run.slot, why)
            self._again(run, why)
        else:
            self._retry(run, why)

    def _bury(self, slot: str, why: str) -> None:
        """Count a worker that died before it started a job; its slot is given up after three."""
        self._engine.replace(slot)
        self._deaths[slot] += 1
        if self._deaths[slot] == TRIES:
            logger.error("%s is not used any more, its workers die at once: %s", slot, why)

    def _retry(self, run: _Running, why: str) -> None:
        if self._ledger.tries(run.job) < TRIES:
            self._again(run, why)
        else:
            self._fail(run, f"its worker died {TRIES} times ({why})")

    def _again(self, run: _Running, why: str) -> None:
        self._observer.again(run.job, run.slot, why)
        self._make_ready([run.request])

    def _fail(self, run: _Running, reason: str) -> None:
        try:
            self._ledger.fail(run.job, reason)
        except OSError as error:
            self._halted = f"the failure of {run.job.task.label} could not be recorded: {error}"
        self._close(run.job, "failed", reason, self._engine.now() - run.began)

    def _close(self, job: Job, status: str, reason: str, seconds: float) -> None:
        self._settle(self._record(job, status, reason, seconds))

    def _record(self, job: Job, status: str, reason: str, seconds: float) -> list[str]:
        """Note how a job ended; return the jobs that waited for it alone."""
        del self._open[job.key]
        self._work -= self._seconds[job.key]
        self._outcome.status[job.key] = status
        if status not in ("ok", "cached"):
            self._outcome.reasons[job.key] = (
                reason if status == "blocked" else f"{job.task.label}: {reason}"
            )
        self._observer.ended(job, status, reason, seconds, self._left())
        return [
            key
            for key in self._dependants[job.key]
            if all(before in self._outcome.status for before in self._inputs[key])
        ]

    def _left(self) -> float:
        """Return about how many seconds are left."""
        return max(0.0, self._work) / max(1, len(self._engine.slots()))

    # -- what goes on ----------------------------------------------------------------------

    def _watch(self) -> None:
        """Pass on progress; kill what hangs, and what is done but does not say so."""
        now = self._engine.now()
        for future, run in list(self._running.items()):
            told = self._ledger.progress(run.job)
            if told is not None and told != run.told:
                run.told, run.heard = told, now
                self._observer.progress(run.job, *told)
            if run.finished is None and self._ledger.finished(run.job):
                run.finished = now
            lost = run.finished is not None and now - run.finished > _LOST_SECONDS
            silent = now - run.heard
            if lost or (
                silent > self._patience.of(run.request.seconds) and self._gives_up(run, now)
            ):
                del self._running[future]
                self._died(run, f"it showed no progress for {silent:.0f} s and was stopped")

    def _gives_up(self, run: _Running, now: float) -> bool:
        """Return whether silence is the job's fault; its worker may just be slow to start."""
        if run.began_for_sure:
            return True
        if self._ledger.tries(run.job) == run.tries:
            return now - run.began > _START_SECONDS
        run.began_for_sure, run.heard = True, now
        return False

    def _heed(self) -> None:
        """Do as the user or a full disk asks."""
        wish = self._wish()
        if wish is Wish.stop:
            raise RunStoppedError("stopped")
        finish = wish is Wish.finish or self._halted is not None
        if finish and not self._told_to_finish:
            self._told_to_finish = True
            self._observer.finishing([run.job for run in self._running.values()])
        if finish and not self._running:
            raise RunStoppedError(self._halted or "stopped")


def critical_path(jobs: Mapping[str, Job], seconds: Mapping[str, float]) -> dict[str, float]:
    """Return for each job the seconds of the longest chain that starts with it."""
    length = dict.fromkeys(jobs, 0.0)
    for key in reversed(list(jobs)):  # jobs come inputs first
        length[key] += seconds[key]
        for ref in jobs[key].inputs.values():
            length[ref.key] = max(length[ref.key], length[key])
    return length
