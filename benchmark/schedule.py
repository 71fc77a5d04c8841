"""The graph loop: a job starts the moment its inputs are done and a slot is free.

Whether a job is done is the store's word alone. A job whose worker dies is tried again, up to
three times; a job that fails takes with it only what stands on it.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from benchmark.engines import Engine
from benchmark.jobs import Job, execute, revision
from benchmark.store import Store, read_json

logger = logging.getLogger(__name__)

TRIES = 3
_TURN_SECONDS = 0.25


class Observer(Protocol):
    """What is told about a run as it goes."""

    def begin(self, total: int, seconds: float) -> None:
        """Say how many jobs the graph has, and about how many seconds of work."""

    def started(self, job: Job) -> None:
        """Say that a job began."""

    def progress(self, job: Job, done: int, total: int, unit: str) -> None:
        """Say how far a running job is."""

    def ended(self, job: Job, status: str, seconds: float, left: float) -> None:
        """Say that a job ended: cached, ok, failed or invalid; about ``left`` seconds remain."""


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
    job: Job
    slot: int
    began: float


@dataclass
class _Loop:
    jobs: Mapping[str, Job]
    seconds: Mapping[str, float]
    store: Store
    engine: Engine
    out: Path
    cache: Path
    observer: Observer
    run: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    outcome: Outcome = field(default_factory=Outcome)
    running: dict[Future[Any], _Running] = field(default_factory=dict)
    revision: str | None = field(default_factory=revision)

    def __post_init__(self) -> None:
        self.waiting = dict(self.jobs)
        self.urgency = critical_path(self.jobs, self.seconds)
        self.tries: dict[str, int] = {}
        self.unmade: set[str] = set()

    def loop(self, check: Callable[[], None]) -> Outcome:
        self.observer.begin(len(self.jobs), sum(self.seconds.values()))
        while self.waiting or self.running:
            check()
            ready = self.settle()
            self.submit(ready)
            if self.running:
                done, _ = wait(self.running, timeout=_TURN_SECONDS, return_when=FIRST_COMPLETED)
                for future in done:
                    self.collect(future)
                self.report_progress()
        return self.outcome

    def settle(self) -> list[Job]:
        """Close every job that is current or can never run; return those ready to run."""
        ready: list[Job] = []
        for key, job in list(self.waiting.items()):
            states = [self.outcome.status.get(ref.key) for ref in job.inputs.values()]
            if None in states:
                continue  # an input is still to come
            broken = [
                ref.key
                for ref, state in zip(job.inputs.values(), states, strict=True)
                if state not in ("ok", "cached")
            ]
            if broken:
                self.close(job, "blocked", self.outcome.reasons[broken[0]], 0.0)
            elif key in self.unmade or (verdict := self.verdict(job)) is None:
                self.unmade.add(key)  # ask the store once: its answer costs reading every byte
                ready.append(job)
            else:
                self.close(job, *verdict, 0.0)
        return sorted(ready, key=lambda job: -self.urgency[job.key])

    def verdict(self, job: Job) -> tuple[str, str] | None:
        """Return the status and reason a job already has in the store, or None."""
        inputs = {role: self.store.output(ref) for role, ref in job.inputs.items()}
        if self.store.is_current(job.ref, inputs):
            return "cached", ""
        if self.store.is_invalid(job.ref, inputs):
            return "invalid", str((self.store.failure(job.ref) or {})["reason"])
        return None

    def submit(self, ready: list[Job]) -> None:
        busy = {run.slot for run in self.running.values()}
        free = [slot for slot in range(len(self.engine.slots)) if slot not in busy]
        for slot, job in zip(free, ready, strict=False):
            self.tries[job.key] = self.tries.get(job.key, 0) + 1
            future = self.engine.submit(
                slot,
                execute,
                job,
                run=self.run,
                out=self.out,
                cache=self.cache,
                device=self.engine.slots[slot].device,
                revision=self.revision,
            )
            self.running[future] = _Running(job, slot, time.monotonic())
            del self.waiting[job.key]
            self.observer.started(job)

    def collect(self, future: Future[Any]) -> None:
        run = self.running.pop(future)
        seconds = time.monotonic() - run.began
        error = future.exception()
        if error is None:
            answer = future.result()
            self.close(run.job, answer["status"], answer["reason"], seconds)
            return
        self.engine.replace(run.slot)
        if self.tries[run.job.key] < TRIES:
            logger.warning("%s: its worker died (%s); trying again", run.job.task.label, error)
            self.waiting[run.job.key] = run.job
            return
        reason = f"its worker process died {TRIES} times ({type(error).__name__})"
        self.store.fail(run.job.ref, "failed", reason)
        self.close(run.job, "failed", reason, seconds)

    def close(self, job: Job, status: str, reason: str, seconds: float) -> None:
        self.waiting.pop(job.key, None)
        self.outcome.status[job.key] = status
        if status not in ("ok", "cached"):
            self.outcome.reasons[job.key] = (
                reason if status == "blocked" else f"{job.task.label}: {reason}"
            )
        open_jobs = [*self.waiting, *(run.job.key for run in self.running.values())]
        left = sum(self.seconds[key] for key in open_jobs) / len(self.engine.slots)
        self.observer.ended(job, status, seconds, left)

    def report_progress(self) -> None:
        for run in self.running.values():
            told = read_json(self.out / "running" / f"{run.job.key}.json")
            if told is not None:
                self.observer.progress(run.job, told["done"], told["total"], told["unit"])


def critical_path(jobs: Mapping[str, Job], seconds: Mapping[str, float]) -> dict[str, float]:
    """Return for each job the seconds of the longest chain that starts with it."""
    length = dict.fromkeys(jobs, 0.0)
    for key in reversed(list(jobs)):  # jobs come inputs first
        length[key] += seconds[key]
        for ref in jobs[key].inputs.values():
            length[ref.key] = max(length[ref.key], length[key])
    return length


def run_graph(
    jobs: Mapping[str, Job],
    seconds: Mapping[str, float],
    *,
    engine: Engine,
    out: Path,
    cache: Path,
    observer: Observer,
) -> Outcome:
    """Run every job that is not done, and return how each ended.

    Args:
        jobs: by key, inputs before what needs them.
        seconds: an estimate for each.
        engine: where they run.
        out: the output folder.
        cache: where data sets lie.
        observer: who is told.
    """
    loop = _Loop(jobs, seconds, Store(out / "store"), engine, out, cache, observer)
    try:
        with _interrupts() as check:
            return loop.loop(check)
    finally:
        engine.close()


@contextlib.contextmanager
def _interrupts() -> Iterator[Callable[[], None]]:
    """Keep Ctrl-C for the loop, which asks every turn: raised inside a library it can be lost.

    A second one is raised where it comes.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return

    def keep(number: int, frame: Any) -> None:  # noqa: ARG001 - what signal handlers are given
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    def check() -> None:
        if asked.is_set():
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, keep)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
