"""What a run keeps in its output folder beside the store: the lock, its progress, its logs.

One process at a time writes to an output folder; a second one is refused. Imports no torch.
"""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from hashattack.benchmark.store.store import JobRef
from hashattack.datasets.errors import UserError
from hashattack.datasets.files import read_checked, write_checked

_LOCK, _HOLDER = ".lock", ".holder.json"
_TRY_SECONDS = 1.0  # 'status' holds the lock for a moment, too


class FolderInUseError(UserError):
    """An output folder another process writes to."""


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold the folder by an operating-system lock, which is released when the process is killed.

    Raises:
        FolderInUseError: another process holds it; the text says which.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock, holder = FileLock(folder / _LOCK), folder / _HOLDER
    try:
        lock.acquire(timeout=_TRY_SECONDS)
    except Timeout:
        process = described(read_checked(holder) or {}) or "unknown"
        raise FolderInUseError(
            f"another run is writing to {folder} ({process}); wait for it or choose another --out"
        ) from None
    try:
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        write_checked(holder, {"host": platform.node(), "pid": os.getpid(), "since": since})
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def holder_of(folder: Path) -> dict[str, Any] | None:
    """Return the process that holds the folder now (``host``, ``pid``, ``since``), or None."""
    lock = FileLock(folder / _LOCK)
    try:
        with lock.acquire(timeout=0):
            return None
    except Timeout:
        return read_checked(folder / _HOLDER) or {}


def described(holder: Mapping[str, Any]) -> str:
    """Return a process that holds a folder, like ``host a, pid 7, since …``."""
    return ", ".join(f"{name} {value}" for name, value in holder.items())


def progress_file(out: Path, key: str) -> Path:
    """Return the file in which a running job keeps its progress."""
    return out / "running" / f"{key}.json"


def log_file(out: Path, job: JobRef, run: str, attempt: int) -> Path:
    """Return the log of one attempt."""
    return out / "logs" / f"{job.stage}-{job.key[:12]}-{run}-{attempt}.log"


def current_run(out: Path) -> str | None:
    """Return the run that writes to a folder, or wrote to it last."""
    return (read_checked(progress_file(out, "run")) or {}).get("run")


def take_over(out: Path, run: str) -> None:
    """Make a run the current one of a folder, and remove the progress of killed workers."""
    for stale in progress_file(out, "").parent.glob("*.json"):
        stale.unlink(missing_ok=True)
    write_checked(progress_file(out, "run"), {"run": run})
