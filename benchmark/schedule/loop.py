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
from benchmark.jobs import Job
from benchmark.schedule.attempts import Attempt, Patience
from benchmark.schedule.execution import Answer
from benchmark.schedule.frontier import Frontier, critical_path
from benchmark.schedule.interrupts import Wish
from benchmark.schedule.ledger import Ledger
from benchmark.schedule.placement import Request, place
from benchmark.watch.observers import Observer
from datasets.errors import UserError

logger = logging.getLogger(__name__)

TRIES = 3
_TURN_SECONDS = 0.25
_NO_SLOT_SECONDS = 600.0  # without a live worker until the run gives up


class RunStoppedError(UserError):
    """A run that ended early; ``signal`` is what asked for it, None where it could not go on."""

    signal: Signals | None = None


@dataclass
class Outcome:
    """How every job of a graph ended."""

    status: dict[str, str] = field(default_factory=dict)  # key -> cached, ok, failed, invalid…
    reasons: dict[str, str] = field(default_factory=dict)

    def count(self, status: str) -> int:
        """Return how many jobs ended so."""
        return sum(value == status for value in self.status.values())


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
        self._patience = patience or Patience()
        self._frontier = Frontier(jobs, urgency or critical_path(jobs, seconds))
        self._outcome = Outcome()
        self._running: dict[Future[Any], Attempt] = {}
        self._work_left = sum(seconds[key] for key in jobs)
        self._deaths: Counter[str] = Counter()  # of a slot's workers before any job started
        self._slotless: float | None = None  # since when no slot is live
        self._halted: str | None = None  # why it cannot go on
        self._finishing = False

    def run(self) -> Outcome:
        """Run every job that is not done, and return how each ended.

        Raises:
            RunStoppedError: the user or a full disk stopped it; what is done is kept.
            EngineError: no worker is left.
        """
        self._observer.begin(len(self._frontier.open), self._left())
        self._settle(self._frontier.roots())
        while self._frontier.open:
            self._heed()
            if not self._finishing:
                self._submit()
            for future in list(self._engine.wait(self._running, _TURN_SECONDS)):
                self._collect(self._running.pop(future), future)
            self._watch()
        return self._outcome

    # -- what can start --------------------------------------------------------------------

    def _settle(self, keys: Iterable[str]) -> None:
        """Close or make ready jobs whose inputs have all ended, and what follows from it."""
        queue = list(keys)
        fresh: list[Request] = []
        for key in queue:
            job = self._frontier.open[key]
            verdict = self._blocked(job) or self._ledger.verdict(job)
            if verdict is None:
                fresh.append(Request(job, self._seconds[key]))
            else:
                queue += self._record(job, *verdict, 0.0)
        self._frontier.offer(fresh)

    def _blocked(self, job: Job) -> tuple[str, str] | None:
        for ref in job.inputs.values():
            if self._outcome.status[ref.key] not in ("ok", "cached"):
                return "blocked", self._outcome.reasons[ref.key]
        return None

    def _submit(self) -> None:
        live = self._engine.slots()
        slots = {name: slot for name, slot in live.items() if self._deaths[name] < TRIES}
        now = self._engine.now()
        if not self._running:
            self._check_slots(bool(slots), bool(live), now)
        busy = {attempt.slot: attempt for attempt in self._running.values()}
        for name, request in place(self._frontier.ready.values(), slots, busy, now):
            function, arguments = self._ledger.call(request.job, slots[name].torch_device)
            attempt = Attempt(request, name, now, self._ledger)
            try:
                future = self._engine.submit(name, function, **arguments)
            except EngineError as error:
                self._bury(name, str(error))
                continue
            del self._frontier.ready[request.job.key]
            self._running[future] = attempt
            self._observer.started(request.job, name)

    def _check_slots(self, usable: bool, live: bool, now: float) -> None:
        """Give up when every slot was given up, or none has come for a long time."""
        self._slotless = None if usable else now if self._slotless is None else self._slotless
        if self._slotless is not None and (live or now - self._slotless > _NO_SLOT_SECONDS):
            raise EngineError(
                "no worker is left: they die before they start a job. What is done is kept; when "
                "workers can start again, the same command continues"
            )

    # -- what ended ------------------------------------------------------------------------

    def _collect(self, attempt: Attempt, future: Future[Any]) -> None:
        error = future.exception() if not future.cancelled() else EngineError("it was cancelled")
        if error is not None:
            self._died(attempt, f"{type(error).__name__}: {error}")
            return
        self._deaths[attempt.slot] = 0
        answer = Answer(**future.result())
        if answer.spoilt:
            self._engine.replace(attempt.slot)
        match answer.status:
            case "memory" if self._ledger.halve(attempt.job):
                self._again(attempt, f"{answer.reason}; trying half the batch")
            case "memory":
                batch = attempt.job.task.batch
                at = f" at batch {batch}, which cannot be split" if batch else ""
                self._fail(attempt, f"out of memory{at}: {answer.reason}")
            case "crashed":
                self._retry(attempt, answer.reason)
            case "full":
                self._halted = answer.reason
                self._again(attempt, answer.reason)
            case _:
                self._close(attempt, answer.status, answer.reason)

    def _died(self, attempt: Attempt, why: str) -> None:
        """Deal with a worker that ended without an answer."""
        self._engine.replace(attempt.slot)
        if self._ledger.finished(attempt.job):
            self._close(attempt, "ok", "")
        elif self._ledger.tries(attempt.job) == 0:
            self._bury(attempt.slot, why)
            self._again(attempt, why)
        else:
            self._retry(attempt, why)

    def _bury(self, slot: str, why: str) -> None:
        """Count a worker that died before it started a job; its slot is given up after three."""
        self._engine.replace(slot)
        self._deaths[slot] += 1
        if self._deaths[slot] == TRIES:
            logger.error("%s is not used any more, its workers die at once: %s", slot, why)

    def _retry(self, attempt: Attempt, why: str) -> None:
        if self._ledger.tries(attempt.job) < TRIES:
            self._again(attempt, why)
        else:
            self._fail(attempt, f"its worker died {TRIES} times ({why})")

    def _again(self, attempt: Attempt, why: str) -> None:
        self._observer.again(attempt.job, attempt.slot, why)
        self._frontier.offer([attempt.request])

    def _fail(self, attempt: Attempt, reason: str) -> None:
        try:
            self._ledger.fail(attempt.job, reason)
        except OSError as error:
            self._halted = f"the failure of {attempt.job.task.label} could not be recorded: {error}"
        self._close(attempt, "failed", reason)

    def _close(self, attempt: Attempt, status: str, reason: str) -> None:
        seconds = self._engine.now() - attempt.began
        self._settle(self._record(attempt.job, status, reason, seconds))

    def _record(self, job: Job, status: str, reason: str, seconds: float) -> list[str]:
        """Note how a job ended; return the jobs that waited for it alone."""
        freed = self._frontier.end(job.key)
        self._work_left -= self._seconds[job.key]
        self._outcome.status[job.key] = status
        if status not in ("ok", "cached"):
            self._outcome.reasons[job.key] = (
                reason if status == "blocked" else f"{job.task.label}: {reason}"
            )
        self._observer.ended(job, status, reason, seconds, self._left())
        return freed

    def _left(self) -> float:
        """Return about how many seconds are left."""
        return max(0.0, self._work_left) / max(1, len(self._engine.slots()))

    # -- what goes on ----------------------------------------------------------------------

    def _watch(self) -> None:
        """Pass on progress; kill what hangs, and what is done but does not say so."""
        now = self._engine.now()
        for future, attempt in list(self._running.items()):
            told = attempt.news(now)
            if told is not None:
                self._observer.progress(attempt.job, *told)
            why = attempt.given_up(now, self._patience)
            if why is not None:
                del self._running[future]
                self._died(attempt, why)

    def _heed(self) -> None:
        """Do as the user or a full disk asks."""
        wish = self._wish()
        if wish is Wish.stop:
            raise RunStoppedError("stopped")
        finish = wish is Wish.finish or self._halted is not None
        if finish and not self._finishing:
            self._finishing = True
            self._observer.finishing([attempt.job for attempt in self._running.values()])
        if finish and not self._running:
            raise RunStoppedError(self._halted or "stopped")
