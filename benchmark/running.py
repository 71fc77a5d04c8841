"""Running a plan: lock, manifest, engine, estimates, graph loop and event log."""

from __future__ import annotations

import logging
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hashattack.benchmark.engines.slots import EngineOptions
from hashattack.benchmark.jobs import Job
from hashattack.benchmark.plan.estimate import estimate, remember
from hashattack.benchmark.plan.plan import Plan
from hashattack.benchmark.progress.events import Event, EventLog, Listener
from hashattack.benchmark.provenance import versions
from hashattack.benchmark.results.finished import Rerun, forget
from hashattack.benchmark.results.manifest import write_manifest
from hashattack.benchmark.schedule.attempts import Patience
from hashattack.benchmark.schedule.interrupts import StopSignals
from hashattack.benchmark.schedule.loop import Loop, RunOutcome, RunStoppedError
from hashattack.benchmark.schedule.records import Accepts, JobRecords
from hashattack.benchmark.store.files import read_json, write_json
from hashattack.benchmark.store.folder import hold
from hashattack.benchmark.store.store import Store

logger = logging.getLogger(__name__)

_RERUN = ".rerun.json"
_MEASURE_SECONDS = 180.0


@dataclass(frozen=True)
class RunOptions:
    """How a plan is run."""

    engine: EngineOptions = field(default_factory=EngineOptions)
    rerun: Rerun = Rerun.failed
    verify: bool = False  # hash all artifacts, also those that seem unchanged
    grace: float = 20.0  # seconds from SIGTERM until workers are stopped
    patience: Patience = field(default_factory=Patience)
    accepts: Accepts | None = None  # which finished jobs count as done; None: as ``rerun`` says


def run_plan(
    whole: Plan,
    plan: Plan,
    *,
    out: Path,
    cache: Path,
    options: RunOptions,
    listener: Listener,
    echo: Callable[[str], None],
) -> RunOutcome:
    """Run what is not done of a plan, in a folder that no other run writes to.

    Args:
        whole: the plan of the suite, for the manifest, so that no row of it is lost.
        plan: the part of it to run.
        out: the output folder.
        cache: where data sets lie.
        options: where and how.
        listener: called with every event, as the event log is.
        echo: called once with a line: how many jobs, where.

    Raises:
        RunStoppedError: a signal or a full disk ended it.
        FolderInUseError: another process writes to the folder.
        EngineError: there is no usable device or worker.
    """
    with hold(out):
        forget(out)
        write_manifest(whole, out)
        records = JobRecords(
            out,
            cache,
            keep_failures=options.rerun is Rerun.missing,
            accepts=options.accepts or accepted(options.rerun, out),
            verify=options.verify,
        )
        engine = options.engine.open(plan.suite.compute.threads, out)
        try:
            slots = engine.slots()
            first = next(iter(slots.values()))

            def measure(function: Callable[..., float], **arguments: Any) -> float:
                """Return what a function measures on a slot; NaN where that fails."""
                try:
                    future = engine.submit(first.name, function, **arguments)
                    return float(future.result(timeout=_MEASURE_SECONDS))
                except Exception as error:  # noqa: BLE001 - a run goes on without an estimate
                    logger.warning("the speed of %s was not measured: %s", first.name, error)
                    engine.replace(first.name)
                    return float("nan")

            command = shlex.join(sys.argv)
            about = {"command": command, "suite": plan.suite.name, "slots": list(slots)}
            log = EventLog(out, records.run, about)
            seconds = estimate(plan, cache, first.torch_device, measure)
            echo(f"{len(plan.cells)} cells, {len(plan.jobs)} jobs, {len(slots)} at a time -> {out}")
            with StopSignals(options.grace) as signals:
                loop = Loop(
                    plan.jobs,
                    seconds,
                    engine=engine,
                    records=records,
                    listeners=(listener, log),
                    stop_request=signals.request,
                    patience=options.patience,
                )
                outcome = _logged(loop, log, signals)
        finally:
            engine.close()
            remember(plan, Store(out / "store"), cache)
        (out / _RERUN).unlink(missing_ok=True)
        return outcome


def _logged(loop: Loop, log: EventLog, signals: StopSignals) -> RunOutcome:
    """Run the loop and log how it ended."""
    ended = "finished"
    try:
        return loop.run()
    except RunStoppedError as error:
        error.signal = signals.received
        ended = str(error) if signals.received is None else signals.received.name
        raise
    except BaseException as error:
        ended = f"{type(error).__name__}: {error}"
        raise
    finally:
        log(Event("end", reason=ended))


def accepted(rerun: Rerun, out: Path) -> Accepts:
    """Return which finished jobs count as done; nothing is deleted.

    ``stale`` accepts what this code and these versions made. ``all`` accepts what was made since
    it was first requested, so that a run which was stopped continues with the same command; the
    time is kept in the folder until such a run has finished. The others accept every job.
    """
    if rerun is Rerun.stale:
        return is_current_code
    if rerun is not Rerun.all:
        return lambda _job, _provenance: True
    requested = read_json(out / _RERUN)
    if requested is None:
        requested = {"since": time.time()}
        write_json(out / _RERUN, requested)
    since = float(requested["since"])
    return lambda _job, provenance: float(provenance["began"]) >= since


def is_current_code(_job: Job, provenance: Mapping[str, Any]) -> bool:
    """Return whether a job was made by this code and these versions."""
    return all(provenance.get(name) == value for name, value in versions().items())
