"""``events.jsonl``: what happened in an output folder, a line an event, for people and scripts.

The log tells; it decides nothing. Imports no torch to be read.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hashattack.benchmark.jobs import Job

logger = logging.getLogger(__name__)

_NAME = "events.jsonl"


class EventLog:
    """An observer that appends to ``events.jsonl``.

    Jobs that are done already are counted and not listed.
    """

    def __init__(self, out: Path, run: str, about: Mapping[str, Any]) -> None:
        """Begin to log a run; ``about`` says what it runs and where."""
        self._path, self._run = out / _NAME, run
        self._cached = 0
        self._writes = True
        self._about = dict(about)
        self._mend()

    def begin(self, total: int, left: float) -> None:
        """Log the beginning of the run."""
        self._write("begin", jobs=total, left=round(left, 1), **self._about)

    def started(self, job: Job, slot: str, left: float) -> None:
        """Log the beginning of an attempt."""
        self._write("started", slot=slot, left=round(left, 1), **_named(job))

    def progress(self, job: Job, done: int, total: int, unit: str) -> None:
        """Log nothing: the folder ``running`` has the latest."""

    def ended(self, job: Job, status: str, reason: str, seconds: float, left: float) -> None:
        """Log the end of a job that ran or cannot run."""
        if status == "cached":
            self._cached += 1
            return
        told = {"reason": reason} if reason else {}
        self._write(
            "ended",
            status=status,
            seconds=round(seconds, 3),
            left=round(left, 1),
            **told,
            **_named(job),
        )

    def again(self, job: Job, slot: str, reason: str) -> None:
        """Log an attempt that came to nothing."""
        self._write("again", slot=slot, reason=reason, **_named(job))

    def finishing(self, jobs: Sequence[Job]) -> None:
        """Log that the run is asked to stop."""
        self._write("finishing", running=[job.key for job in jobs])

    def end(self, how: str) -> None:
        """Log the end of the run."""
        self._write("end", how=how, cached=self._cached)

    def _mend(self) -> None:
        """End a line that a kill or a full disk has cut."""
        try:
            with self._path.open("rb+") as file:
                if file.seek(0, os.SEEK_END):
                    file.seek(-1, os.SEEK_END)
                    if file.read(1) != b"\n":
                        file.write(b"\n")
        except OSError:
            return  # there is none yet

    def _write(self, event: str, **fields: Any) -> None:
        line = json.dumps({"time": time.time(), "run": self._run, "event": event, **fields})
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:  # a full disk ends the run elsewhere, with its reason
            if self._writes:
                logger.warning("%s: %s; events are not logged", self._path, error.strerror)
            self._writes = False


def _named(job: Job) -> dict[str, str]:
    return {"key": job.key, "stage": job.stage, "label": job.label}


def last_run(out: Path) -> list[dict[str, Any]]:
    """Return the events of the last run of a folder, in order; damaged lines are left out."""
    events = list(_read(out / _NAME))
    runs = [event["run"] for event in events if event["event"] == "begin"]
    return [event for event in events if runs and event["run"] == runs[-1]]


def _read(path: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:  # cut by a kill
            continue
        if isinstance(event, dict) and {"run", "event", "time"} <= event.keys():
            yield event
