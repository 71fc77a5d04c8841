"""Running a plan: lock, manifest, engine, estimates, graph loop and event log."""

from __future__ import annotations

import logging
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hashattack.benchmark.engines.base import ATTACKER, HARNESS, Engine, EngineError, machine_slots
from hashattack.benchmark.engines.local import LocalEngine
from hashattack.benchmark.jobs import Job
from hashattack.benchmark.names import counted
from hashattack.benchmark.plan.estimate import estimate, remember
from hashattack.benchmark.plan.plan import Plan
from hashattack.benchmark.progress.events import EventLog, Listener, running_when_killed
from hashattack.benchmark.provenance import versions
from hashattack.benchmark.results.finished import Rerun, forget
from hashattack.benchmark.results.manifest import Manifest, write_manifest
from hashattack.benchmark.schedule.execution import Accepts, JobRecords
from hashattack.benchmark.schedule.interrupts import StopRequest
from hashattack.benchmark.schedule.loop import Loop, RunOutcome
from hashattack.benchmark.store.folder import hold
from hashattack.benchmark.store.store import Store
from hashattack.datasets.files import read_checked, write_checked

logger = logging.getLogger(__name__)

_RERUN = ".rerun.json"
_MEASURE_SECONDS = 180.0


@dataclass(frozen=True)
class RunOptions:
    """Where and how a plan is run."""

    devices: str = "auto"  # as the command line names them
    slots_per_device: int | None = None
    scheduler_file: Path | None = None  # of a dask cluster; None for this machine
    rerun: Rerun = Rerun.failed
    verify: bool = False  # hash all artifacts, also those that seem unchanged
    grace: float = 20.0  # seconds from SIGTERM until workers are stopped
    patience: float = 900.0  # seconds a job may show no progress
    accepts: Accepts | None = None  # which finished jobs count as done; None: as ``rerun`` says

    def open_engine(self, threads: int, out: Path) -> Engine:
        """Start the engine for jobs of ``threads`` threads that write to the folder ``out``.

        Raises:
            EngineError: no such device, or a cluster that cannot be used.
        """
        if self.scheduler_file is None:
            return LocalEngine(machine_slots(self.devices, self.slots_per_device, threads))
        from hashattack.benchmark.engines.dask import DaskEngine

        if self.slots_per_device is not None or self.devices not in ("auto", "cpu"):
            raise EngineError(
                "a dask cluster has a slot for each worker: start one worker for each device; "
                "--devices can only be auto or cpu"
            )
        return DaskEngine(self.scheduler_file, out, cpu_only=self.devices == "cpu")


def run_plan(
    plan: Plan,
    manifest: Manifest,
    *,
    out: Path,
    cache: Path,
    options: RunOptions,
    listeners: Sequence[Listener],
    echo: Callable[[str], None],
) -> RunOutcome:
    """Run what is not done of a plan, in a folder that no other run writes to.

    ``manifest`` lists all cells that the folder is to hold; ``cache`` is where data sets lie. The
    listeners get every event, and ``echo`` one line: how many jobs, where.

    Raises:
        RunStoppedError: a signal or a full disk ended it.
        FolderInUseError: another process writes to the folder.
        FolderFormatError: another version of this program wrote to it.
        EngineError: there is no usable device or worker.
    """
    with hold(out):
        forget(out)
        write_manifest(manifest, out)
        records = JobRecords(
            out,
            cache,
            keep_failures=options.rerun is Rerun.missing,
            accepts=options.accepts or accepted(options.rerun, out),
            verify=options.verify,
        )
        engine = options.open_engine(plan.suite.compute.threads, out)
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

            about = {
                "command": shlex.join(sys.argv),
                "suite": plan.suite.name,
                "slots": list(slots),
            }
            suspects = {  # code of plug-ins that may have killed the last run
                key
                for key in running_when_killed(out) & plan.jobs.keys()
                if plan.jobs[key].isolation not in (HARNESS, ATTACKER)
            }
            log = EventLog(out, records.run, about)
            seconds = estimate(plan, cache, first.torch_device, measure)
            cells, jobs = counted(len(plan.cells), "cell"), counted(len(plan.jobs), "job")
            echo(f"{cells}, {jobs}, {len(slots)} at a time -> {out}")
            with StopRequest(options.grace) as stop, log:
                outcome = Loop(
                    plan.jobs,
                    seconds,
                    engine=engine,
                    records=records,
                    listeners=(*listeners, log),
                    stop=stop,
                    patience=options.patience,
                    suspects=suspects,
                ).run()
        finally:
            engine.close()
            remember(plan, Store(out / "store"), cache)
        (out / _RERUN).unlink(missing_ok=True)
        return outcome


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
    requested = read_checked(out / _RERUN)
    if requested is None:
        requested = {"since": time.time()}
        write_checked(out / _RERUN, requested)
    since = requested["since"]
    return lambda _job, provenance: float(provenance["began"]) >= since


def is_current_code(_job: Job, provenance: Mapping[str, Any]) -> bool:
    """Return whether a job was made by this code and these versions."""
    return all(provenance.get(name) == value for name, value in versions().items())
