"""One writer an output folder: a second run is refused at once and told who holds it."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from hashattack.benchmark.store.store import read_json, write_json
from hashattack.datasets.errors import UserError

_LOCK, _HOLDER = ".lock", ".holder.json"
_TRY_SECONDS = 1.0  # 'status' holds the lock for a moment, too


class FolderInUseError(UserError):
    """An output folder another process writes to."""


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold the folder by an operating-system lock, which no killed process leaves behind.

    Raises:
        FolderInUseError: another process holds it; the text says which.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock, holder = FileLock(folder / _LOCK), folder / _HOLDER
    try:
        lock.acquire(timeout=_TRY_SECONDS)
    except Timeout:
        who = read_json(holder) or {}
        told = ", ".join(f"{name} {value}" for name, value in who.items()) or "unknown"
        raise FolderInUseError(
            f"another run is writing to {folder} ({told}); wait for it or choose another --out"
        ) from None
    try:
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        write_json(holder, {"host": platform.node(), "pid": os.getpid(), "since": since})
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def holder_of(folder: Path) -> dict[str, Any] | None:
    """Return who holds the folder now (``host``, ``pid``, ``since``), or None."""
    lock = FileLock(folder / _LOCK)
    try:
        with lock.acquire(timeout=0):
            return None
    except Timeout:
        return read_json(folder / _HOLDER) or {}
