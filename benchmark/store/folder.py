"""Where a run keeps its own files in the output folder. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from hashattack.benchmark.store.store import JobRef, read_json, write_json


def running_file(out: Path, key: str) -> Path:
    """Return where a running job tells how far it is."""
    return out / "running" / f"{key}.json"


def log_file(out: Path, job: JobRef, run: str, attempt: int) -> Path:
    """Return the log of one attempt."""
    return out / "logs" / f"{job.stage}-{job.key[:12]}-{run}-{attempt}.log"


def current_run(out: Path) -> str | None:
    """Return the run that a folder belongs to now."""
    return (read_json(running_file(out, "run")) or {}).get("run")


def take_over(out: Path, run: str) -> None:
    """Make the folder a run's own, and drop what killed workers left."""
    for stale in running_file(out, "").parent.glob("*.json"):
        stale.unlink(missing_ok=True)
    write_json(running_file(out, "run"), {"run": run})
