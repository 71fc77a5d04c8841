"""The status of a run, read from its folder by another process. Imports no torch."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hashattack.benchmark.pipeline import STAGES
from hashattack.benchmark.progress.events import last_run, running_jobs
from hashattack.benchmark.results.manifest import read_manifest
from hashattack.benchmark.store.folder import current_run, described, holder_of, progress_file
from hashattack.benchmark.store.store import JobRef, Store
from hashattack.datasets.files import read_bytes, read_checked

_LOG_LINES = 5


@dataclass(frozen=True)
class StageCount:
    """How many jobs a stage has, and how many are done, failed or running."""

    stage: str
    jobs: int
    done: int
    failed: int
    running: int


@dataclass(frozen=True)
class RunningJob:
    """A job that runs now; ``done`` of ``total`` units, where it reports them."""

    slot: str
    label: str
    seconds: float
    done: int | None = None
    total: int | None = None
    unit: str = ""


@dataclass(frozen=True)
class Failure:
    """A job that failed or is invalid, with the last lines of its last log."""

    label: str
    status: str
    reason: str
    log: str | None
    last_lines: list[str]


@dataclass(frozen=True)
class Status:
    """The status of a run; ``state`` is running, finished, stopped, killed or never run."""

    out: str
    state: str
    detail: str  # the process that runs it, or how it ended
    stages: list[StageCount]
    slots: list[str]
    running: list[RunningJob]
    failures: list[Failure]
    seconds_left: float | None


def read_status(out: Path) -> Status:
    """Return the status of the run in a folder.

    Raises:
        NoRunError: the folder holds none.
    """
    jobs: dict[str, dict[str, Any]] = read_manifest(out)["jobs"]
    store = Store(out / "store")
    events = last_run(out)
    holder = holder_of(out)
    if holder is not None and events and current_run(out) not in (None, events[0]["run"]):
        events = []  # the run that holds the folder has yet to begin
    running = _running(out, events) if holder is not None else []
    busy = Counter(jobs[key]["stage"] for key, _ in running if key in jobs)
    counts: dict[str, Counter[str]] = {stage: Counter() for stage in STAGES}
    failures = []
    for key, job in jobs.items():
        count = counts.setdefault(job["stage"], Counter())
        count["jobs"] += 1
        ref = JobRef(job["stage"], key)
        if store.is_done(ref):
            count["done"] += 1
        elif (failure := store.failure(ref)) is not None:
            count["failed"] += 1
            failures.append(_failure(out, key, job, failure))
    return Status(
        out=str(out),
        **_state(holder, events),
        stages=[
            StageCount(stage, count["jobs"], count["done"], count["failed"], busy[stage])
            for stage, count in counts.items()
            if count
        ],
        slots=list(events[0].get("slots", [])) if events else [],
        running=[job for _, job in running],
        failures=failures,
        seconds_left=_left(events, running) if holder is not None else None,
    )


def _state(holder: dict[str, Any] | None, events: list[dict[str, Any]]) -> dict[str, str]:
    if holder is not None:
        stopping = any(event["event"] == "stopping" for event in events)
        detail = described(holder) + (", asked to stop" if stopping else "")
        return {"state": "running", "detail": detail}
    if not events:
        return {"state": "never run", "detail": "the folder holds a plan and no run"}
    last = events[-1]
    if last["event"] != "end":
        jobs = ", ".join(event["label"] for event in running_jobs(events).values())
        during = f" during {jobs}" if jobs else ""
        return {"state": "killed", "detail": f"it ended{during}; the same command continues"}
    if last["reason"] == "finished":
        return {"state": "finished", "detail": ""}
    return {"state": "stopped", "detail": f"{last['reason']}; the same command continues"}


def _running(out: Path, events: list[dict[str, Any]]) -> list[tuple[str, RunningJob]]:
    """Return the jobs that were started and have not ended, by the log of the run."""
    now = time.time()
    listed = []
    for key, event in running_jobs(events).items():
        progress = read_checked(progress_file(out, key)) or {}
        job = RunningJob(event["slot"], event["label"], now - event["time"], **progress)
        listed.append((key, job))
    return listed


def _left(events: list[dict[str, Any]], running: list[tuple[str, RunningJob]]) -> float | None:
    """Return the seconds left by the last event, or what the slowest running job still takes."""
    known = [event for event in events if "left" in event]
    if not known:
        return None
    estimate: float = known[-1]["left"] - (time.time() - known[-1]["time"])
    parts = [(job.seconds, job.done or 0, job.total or 0) for _, job in running]
    jobs = [passed * (total - done) / done for passed, done, total in parts if done]
    return max(0.0, estimate, *jobs)


def _failure(out: Path, key: str, job: dict[str, Any], failure: dict[str, Any]) -> Failure:
    logs = sorted(
        (out / "logs").glob(f"{job['stage']}-{key[:12]}-*.log"), key=lambda log: log.stat().st_mtime
    )
    lines = read_bytes(logs[-1]).decode(errors="replace").splitlines() if logs else []
    return Failure(
        label=job["label"],
        status=failure["status"],
        reason=failure["reason"],
        log=str(logs[-1]) if logs else None,
        last_lines=lines[-_LOG_LINES:],
    )
