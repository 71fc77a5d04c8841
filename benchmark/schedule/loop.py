"""The graph loop: a job starts the moment its inputs are done and a slot is free.

Whether a job is done is the ledger's word alone. A job whose worker dies or hangs is tried again,
up to three times; a job that fails takes with it only what stands on it. No wait is without end.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from signal import Signals
from typing import Any

from hashattack.benchmark.console import EXIT_CELLS_MISSING
from hashattack.benchmark.engines.base import Engine, EngineError
from hashattack.benchmark.jobs import Job
from hashattack.benchmark.progress.observers import Observer
from hashattack.benchmark.schedule.attempts import Attempt, Patience
from hashattack.benchmark.schedule.execution import Answer
from hashattack.benchmark.schedule.frontier import Frontier, critical_path
from hashattack.benchmark.schedule.interrupts import Wish
from hashattack.benchmark.schedule.ledger import Ledger
from hashattack.benchmark.schedule.placement import Request, place
from hashattack.datasets.errors import UserError

logger = logging.getLogger(__name__)

TRIES = 3
_TURN_SECONDS = 0.25
_SETTLE_SECONDS = 1.0  # a turn, for asking what is done already
_STILL_SECONDS = 10.0  # a turn that takes longer was not the jobs' doing
_UNSEEN_SECONDS = 90.0  # for a record to show on a shared file system
_NO_SLOT_SECONDS = 600.0  # without a live worker until the run gives up


class RunStoppedError(UserError):
    """A run that ended early; ``signal`` is what asked for it, None where it could not go on."""

    signal: Signals | None = None

    @property
    def exit_code(self) -> int:
        """What the program ends with: as a shell has it for a signal, else as for cells missing."""
        return EXIT_CELLS_MISSING if self.signal is None else 128 + self.signal


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
        self._unsettled: deque[str] = deque()  # jobs whose inputs have ended, to be looked at
        self._unseen: dict[str, tuple[Attempt, float]] = {}  # said to be done, since when
        self._stillborn: Counter[str] = Counter()  # attempts at a job that never started
        self._deaths: defaultdict[str, set[str]] = defaultdict(set)  # a slot's, by job
        self._looked: float | None = None  # when the loop last looked at running jobs
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
        self._unsettled.extend(self._frontier.roots())
        while self._frontier.open:
            self._heed()
            self._settle()
            if not self._finishing:
                self._submit()
            turn = 0.0 if self._unsettled else _TURN_SECONDS
            for future in list(self._engine.wait(self._running, turn)):
                self._collect(self._running.pop(future), future)
            self._watch()
        return self._outcome

    # -- what can start --------------------------------------------------------------------

    def _settle(self) -> None:
        """Close or make ready jobs whose inputs have all ended, and what follows from it.

        The ledger's answer can cost reading a large file, so signals are heeded in between.
        """
        fresh: list[Request] = []
        ends = time.monotonic() + _SETTLE_SECONDS
        while self._unsettled and time.monotonic() < ends:
            job = self._frontier.open[self._unsettled.popleft()]
            verdict = self._blocked(job) or self._ledger.verdict(job)
            if verdict is None:
                fresh.append(Request(job, self._seconds[job.key]))
            else:
                self._record(job, *verdict, 0.0)
        self._frontier.offer(fresh)

    def _blocked(self, job: Job) -> tuple[str, str] | None:
        for ref in job.inputs.values():
            if self._outcome.status[ref.key] not in ("ok", "cached"):
                return "blocked", self._outcome.reasons[ref.key]
        return None

    def _submit(self) -> None:
        live = self._engine.slots()
        slots = {name: slot for name, slot in live.items() if len(self._deaths[name]) < TRIES}
        now = self._engine.now()
        if not self._running:
            self._check_slots(bool(slots), bool(live), now)
        busy = {attempt.slot: attempt for attempt in self._running.values()}
        for name, request in place(self._frontier.ready.values(), slots, busy, now):
            del self._frontier.ready[request.job.key]
            attempt = Attempt(request, name, now, self._ledger)
            function, arguments = self._ledger.call(request.job, slots[name].torch_device)
            try:
                room = request.job.isolation
                future = self._engine.submit(name, function, room=room, **arguments)
            except EngineError as error:
                self._died(attempt, str(error))
                continue
            self._running[future] = attempt
            self._observer.started(request.job, name, self._left())

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
        answer = Answer(**future.result())
        if attempt.started:
            self._deaths[attempt.slot].clear()
        if answer.spoilt:
            self._engine.replace(attempt.slot)
        match answer.status:
            case "ok" if not self._ledger.visible(attempt.job):
                self._unseen[attempt.job.key] = (attempt, self._engine.now())
            case "memory" if self._ledger.halve(attempt.job):
                self._again(attempt, f"{answer.reason}; trying half the batch")
            case "memory":
                batch = attempt.job.resources.batch
                at = f" at batch {batch}, which cannot be split" if batch else ""
                self._fail(attempt, f"out of memory{at}: {answer.reason}")
            case "crashed" if not attempt.started:
                self._stillbirth(attempt, answer.reason)
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
        elif attempt.started:
            self._retry(attempt, why)
        else:
            self._stillbirth(attempt, why)

    def _stillbirth(self, attempt: Attempt, why: str) -> None:
        """Deal with a worker that died before it started the job: whose fault it is, time tells.

        A job fails after three such deaths, and a slot on which three jobs died so is given up.
        """
        key, slot = attempt.job.key, attempt.slot
        self._stillborn[key] += 1
        self._deaths[slot].add(key)
        if len(self._deaths[slot]) == TRIES:
            logger.error("%s is not used any more, its workers die at once: %s", slot, why)
        if self._stillborn[key] >= TRIES:
            self._fail(attempt, f"{TRIES} workers died before they could start it ({why})")
        else:
            self._again(attempt, why)

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
            reason = self._ledger.fail(attempt.job, reason)
        except OSError as error:
            self._halted = f"the failure of {attempt.job.label} could not be recorded: {error}"
        self._close(attempt, "failed", reason)

    def _close(self, attempt: Attempt, status: str, reason: str) -> None:
        self._record(attempt.job, status, reason, self._engine.now() - attempt.began)

    def _record(self, job: Job, status: str, reason: str, seconds: float) -> None:
        """Note how a job ended; jobs that waited for it alone are looked at next."""
        self._unsettled.extend(self._frontier.end(job.key))
        self._work_left -= self._seconds[job.key]
        self._outcome.status[job.key] = status
        if status not in ("ok", "cached"):
            self._outcome.reasons[job.key] = (
                reason if status == "blocked" else f"{job.label}: {reason}"
            )
        self._observer.ended(job, status, reason, seconds, self._left())

    def _left(self) -> float:
        """Return about how many seconds are left."""
        return max(0.0, self._work_left) / max(1, len(self._engine.slots()))

    # -- what goes on ----------------------------------------------------------------------

    def _watch(self) -> None:
        """Pass on progress; kill what hangs, and what is done but does not say so."""
        now = self._engine.now()
        still = 0.0 if self._looked is None else now - self._looked
        self._looked = now
        for future, attempt in list(self._running.items()):
            if still > _STILL_SECONDS:
                attempt.excuse(still)
            told = attempt.news(now)
            if told is not None:
                self._observer.progress(attempt.job, *told)
            alive = self._engine.alive(attempt.slot)
            why = attempt.given_up(now, self._patience, alive=alive)
            if why is not None:
                del self._running[future]
                self._died(attempt, why)
        for key, (attempt, since) in list(self._unseen.items()):
            if self._ledger.visible(attempt.job):
                del self._unseen[key]
                self._close(attempt, "ok", "")
            elif now - since > _UNSEEN_SECONDS:
                del self._unseen[key]
                self._fail(attempt, f"its record did not show in {_UNSEEN_SECONDS:.0f} s")

    def _heed(self) -> None:
        """Do as the user or a full disk asks."""
        wish = self._wish()
        if wish is Wish.stop:
            raise RunStoppedError("stopped")
        finish = wish is not Wish.go_on or self._halted is not None
        if finish and not self._finishing:
            self._finishing = True
            self._observer.finishing([attempt.job for attempt in self._running.values()])
        if finish and not self._running and not self._unseen:
            raise RunStoppedError(self._halted or "stopped")
