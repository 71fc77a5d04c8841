"""A run from a plan to its end: lock, manifest, estimates, engine, loop, events."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hashattack.benchmark.engines.base import Engine
from hashattack.benchmark.engines.choice import Choice
from hashattack.benchmark.jobs import Job
from hashattack.benchmark.plan.estimate import estimate, remember
from hashattack.benchmark.plan.plan import Plan
from hashattack.benchmark.progress.events import EventLog
from hashattack.benchmark.progress.observers import Observer, Several
from hashattack.benchmark.provenance import versions
from hashattack.benchmark.results.finished import Rerun, forget
from hashattack.benchmark.results.manifest import write_manifest
from hashattack.benchmark.schedule.attempts import Patience
from hashattack.benchmark.schedule.interrupts import Signals, signals
from hashattack.benchmark.schedule.ledger import StoreLedger, Trusts
from hashattack.benchmark.schedule.loop import Loop, Outcome, RunStoppedError
from hashattack.benchmark.store.files import read_json, write_json
from hashattack.benchmark.store.folder import hold
from hashattack.benchmark.store.store import Store

logger = logging.getLogger(__name__)

_RERUN = ".rerun.json"
_MEASURE_SECONDS = 180.0


@dataclass(frozen=True)
class Manner:
    """How a plan is run."""

    engine: Choice = field(default_factory=Choice)
    rerun: Rerun = Rerun.failed
    verify: bool = False  # hash artifacts that seem unchanged, too
    grace: float = 20.0  # seconds from SIGTERM until workers are stopped
    patience: Patience = field(default_factory=Patience)
    trusts: Trusts | None = None  # instead of what ``rerun`` says


def run_plan(
    whole: Plan,
    plan: Plan,
    *,
    out: Path,
    cache: Path,
    manner: Manner,
    observer: Observer,
    command: str,
    say: Callable[[str], None],
) -> Outcome:
    """Run what is not done of a plan; the caller holds nothing and loses nothing.

    Args:
        whole: the plan of the suite, for the manifest, so that no row of it is lost.
        plan: what of it is wanted.
        out: the output folder.
        cache: where data sets lie.
        manner: where and how.
        observer: who is told beside the event log.
        command: what the user typed, for the event log.
        say: told once where and how much.

    Raises:
        RunStoppedError: a signal or a full disk ended it.
        FolderInUseError: another process writes to the folder.
        EngineError: there is nowhere to run it.
    """
    with hold(out):
        forget(out)
        write_manifest(whole, out)
        ledger = StoreLedger(
            out,
            cache,
            keep_failures=manner.rerun is Rerun.missing,
            trusts=manner.trusts or trust(manner.rerun, out),
            verify=manner.verify,
        )
        engine = manner.engine.open(plan.suite.compute.threads, out)
        try:
            slots = engine.slots()
            slot, device = next((slot.name, slot.torch_device) for slot in slots.values())
            about = {"command": command, "suite": plan.suite.name, "slots": list(slots)}
            log = EventLog(out, ledger.run, about)
            seconds = estimate(plan, cache, device, functools.partial(measure_on, engine, slot))
            say(f"{len(plan.cells)} cells, {len(plan.jobs)} jobs, {len(slots)} at a time -> {out}")
            with signals(manner.grace) as kept:
                loop = Loop(
                    plan.jobs,
                    seconds,
                    engine=engine,
                    ledger=ledger,
                    observer=Several(observer, log),
                    wish=kept.wish,
                    patience=manner.patience,
                )
                outcome = _logged(loop, log, kept)
        finally:
            engine.close()
            remember(plan, Store(out / "store"), cache)
        (out / _RERUN).unlink(missing_ok=True)
        return outcome


def _logged(loop: Loop, log: EventLog, kept: Signals) -> Outcome:
    """Run the loop and log how it ended."""
    try:
        outcome = loop.run()
    except RunStoppedError as error:
        log.end(kept.received.name if kept.received else str(error))
        error.signal = kept.received
        raise
    except BaseException as error:
        log.end(f"{type(error).__name__}: {error}")
        raise
    log.end("finished")
    return outcome


def trust(rerun: Rerun, out: Path) -> Trusts:
    """Return which done jobs count as done, by their provenance; nothing is deleted.

    ``all`` trusts what was made since it was first asked for: a run that is stopped and started
    again with it goes on. The moment is kept in the folder until such a run has finished.
    """
    if rerun is Rerun.stale:
        return is_of_today
    if rerun is not Rerun.all:
        return lambda _job, _made: True
    asked = read_json(out / _RERUN)
    if asked is None:
        asked = {"since": time.time()}
        write_json(out / _RERUN, asked)
    since = float(asked["since"])
    return lambda _job, made: float(made["began"]) >= since


def is_of_today(job: Job, made: Mapping[str, Any]) -> bool:  # noqa: ARG001 - of any job
    """Return whether today's code and versions made a job."""
    now = versions()
    return all(made.get(name) == now[name] for name in now)


def measure_on(
    engine: Engine, slot: str, function: Callable[..., float], **arguments: Any
) -> float:
    """Return what a function measures on a slot; NaN where that takes too long or fails."""
    try:
        future = engine.submit(slot, function, **arguments)
        return float(future.result(timeout=_MEASURE_SECONDS))
    except Exception as error:  # noqa: BLE001 - an estimate is not worth a run
        logger.warning("the speed of %s could not be measured: %s", slot, error)
        engine.replace(slot)
        return float("nan")
