"""A run from a plan to its end: lock, manifest, estimates, engine, loop, events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.engines.choice import Choice
from benchmark.estimate import estimate, remember
from benchmark.lock import hold
from benchmark.manifest import write_manifest
from benchmark.options import Rerun
from benchmark.plan import Plan
from benchmark.provenance import versions
from benchmark.schedule.attempts import Patience
from benchmark.schedule.interrupts import Signals, signals
from benchmark.schedule.ledger import StoreLedger
from benchmark.schedule.loop import Loop, Outcome, RunStoppedError
from benchmark.store import Store
from benchmark.watch.events import EventLog
from benchmark.watch.observers import Observer, Several


@dataclass(frozen=True)
class Manner:
    """How a plan is run."""

    engine: Choice = field(default_factory=Choice)
    rerun: Rerun = Rerun.failed
    grace: float = 20.0  # seconds from SIGTERM until workers are stopped
    patience: Patience = field(default_factory=Patience)


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
        write_manifest(whole, out)
        engine = manner.engine.open(plan.suite.compute.threads, out)
        try:
            slots = engine.slots()
            device = next((slot.torch_device for slot in slots.values()), "cpu")
            forget(plan, Store(out / "store"), manner.rerun)
            ledger = StoreLedger(out, cache, keep_failures=manner.rerun is Rerun.missing)
            about = {"command": command, "suite": plan.suite.name, "slots": list(slots)}
            log = EventLog(out, ledger.run, about)
            seconds = estimate(plan, cache, device)
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
        remember(plan, Store(out / "store"), cache, device)
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


def forget(plan: Plan, store: Store, rerun: Rerun) -> None:
    """Let jobs count as never done: all of the plan, or those that other code or versions made."""
    if rerun not in (Rerun.stale, Rerun.all):
        return
    now = versions()
    for job in plan.jobs.values():
        record = store.record(job.ref)
        made_by = {} if record is None else record["provenance"]
        if rerun is Rerun.all or any(made_by.get(name) != now[name] for name in now):
            store.forget(job.ref)
