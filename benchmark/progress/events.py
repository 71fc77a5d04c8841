"""Events of a run, and ``events.jsonl``: what happened in an output folder, one line an event.

The log only reports; nothing but the order of jobs after a kill depends on it. Imports no torch.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hashattack.datasets.errors import UserError
from hashattack.datasets.files import checked, read_bytes, with_checksum

if TYPE_CHECKING:
    from hashattack.benchmark.jobs import Job

logger = logging.getLogger(__name__)

_NAME = "events.jsonl"


EventKind = Literal["begin", "started", "progress", "retry", "ended", "stopping", "end"]


@dataclass(frozen=True)
class Event:
    """Something that happened in a run: to the run, an attempt at a job, or a job.

    A run begins, is asked to stop (``stopping``) and ends (``end``); an attempt started or is to be
    repeated (``retry``); a job made progress or ended. Fields that do not apply are None.
    """

    kind: EventKind
    job: Job | None = None
    slot: str | None = None
    status: str | None = None  # of an ended job: cached, ok, failed, invalid or blocked
    reason: str | None = None  # of a failure, a retry, or the end of the run
    seconds: float | None = None  # that the job took
    left: float | None = None  # seconds, estimated, until the run ends
    progress: tuple[int, int, str] | None = None  # done, total, unit
    jobs: int | None = None  # in the graph
    running: list[str] | None = None  # labels of the jobs that go on to their end


Listener = Callable[[Event], None]


class EventLog:
    """A listener that appends to ``events.jsonl``, for a ``with`` block, whose end it logs, too.

    Jobs that are done already are counted and not listed; progress is in the folder ``running``.
    """

    def __init__(self, out: Path, run: str, about: Mapping[str, Any]) -> None:
        """Start the log of a run; ``about`` is added to its first event."""
        self._path, self._run, self._about = out / _NAME, run, dict(about)
        self._cached = 0
        self._writable = True
        content = read_bytes(self._path) if self._path.exists() else b""
        self._line_break = "" if content[-1:] in (b"", b"\n") else "\n"  # cut by a kill

    def __call__(self, event: Event) -> None:
        """Log an event."""
        self._cached += event.status == "cached"
        if event.status == "cached" or event.kind == "progress":
            return
        line: dict[str, Any] = {"time": time.time(), "run": self._run, "event": event.kind}
        for name in ("slot", "status", "reason", "seconds", "left", "jobs", "running"):
            value = getattr(event, name)
            if value is not None and value != "":
                line[name] = round(value, 3) if isinstance(value, float) else value
        if event.job is not None:
            line |= {"key": event.job.key, "stage": event.job.stage, "label": event.job.label}
        if event.kind == "begin":
            line |= self._about
        if event.kind == "end":
            line["cached"] = self._cached
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(self._line_break + json.dumps(with_checksum(line)) + "\n")
            self._line_break = ""
        except OSError as error:  # a full disk stops the run elsewhere, with its reason
            if self._writable:
                logger.warning("%s: %s; events are not logged", self._path, error.strerror)
            self._writable = False

    def __enter__(self) -> EventLog:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        reason = str(error) if isinstance(error, UserError) else repr(error)
        self(Event("end", reason="finished" if error is None else reason))


def last_run(out: Path) -> list[dict[str, Any]]:
    """Return the events of the last run of a folder, in order; damaged lines are left out."""
    try:
        lines = read_bytes(out / _NAME).splitlines()
    except OSError:
        return []
    events = [event for line in lines if (event := checked(line)) is not None]
    runs = [event["run"] for event in events if event["event"] == "begin"]
    return [event for event in events if runs and event["run"] == runs[-1]]


def running_jobs(events: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return by key the starts of the jobs that have not ended, by the events of a run."""
    started: dict[str, Mapping[str, Any]] = {}
    for event in events:
        if event["event"] == "started":
            started[event["key"]] = event
        elif event["event"] in ("ended", "retry"):
            started.pop(event["key"], None)
    return started


def running_when_killed(out: Path) -> set[str]:
    """Return the keys of the jobs that ran when the last run of a folder was killed; usually none.

    A run that ended in another way has an ``end`` in its log.
    """
    events = last_run(out)
    return set(running_jobs(events)) if events and events[-1]["event"] != "end" else set()
