"""Telling a person how a run goes: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from benchmark.jobs import Job


def span(seconds: float) -> str:
    """Return a duration as a person says it."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


class PlainObserver:
    """One line for every job that ran, for logs and pipes."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._total = self._ended = 0

    def begin(self, total: int, seconds: float) -> None:
        """Note the size of the graph."""
        del seconds
        self._total = total

    def started(self, job: Job) -> None:
        """Say nothing: the end will."""

    def progress(self, job: Job, done: int, total: int, unit: str) -> None:
        """Say nothing: a log wants no bars."""

    def ended(self, job: Job, status: str, seconds: float, left: float) -> None:
        """Print a line for a job that ran."""
        self._ended += 1
        if status in ("cached", "blocked"):
            return
        rest = f", about {span(left)} left" if left else ""
        self._say(
            f"[{self._ended}/{self._total}] {job.task.label}: {status} in {seconds:.1f} s{rest}"
        )


class RichObserver:
    """Bars for the whole graph and for every running job."""

    def __init__(self, console: Console) -> None:
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
        )
        self._graph: TaskID | None = None
        self._tasks: dict[str, TaskID] = {}
        self._console = console

    def __enter__(self) -> RichObserver:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def begin(self, total: int, seconds: float) -> None:
        """Show the bar of the whole graph."""
        del seconds
        self._graph = self._bars.add_task("[bold]all jobs", total=total, unit="jobs", left="")

    def started(self, job: Job) -> None:
        """Show a bar for the job."""
        self._tasks[job.key] = self._bars.add_task(job.task.label, total=None, unit="", left="")

    def progress(self, job: Job, done: int, total: int, unit: str) -> None:
        """Move the job's bar."""
        self._bars.update(self._tasks[job.key], completed=done, total=total, unit=f"{unit}s")

    def ended(self, job: Job, status: str, seconds: float, left: float) -> None:
        """Drop the job's bar and move the graph's; print a line for anything but success."""
        if job.key in self._tasks:
            self._bars.remove_task(self._tasks.pop(job.key))
        if self._graph is not None:
            rest = f"about {span(left)} left" if left else ""
            self._bars.update(self._graph, advance=1, left=rest)
        if status in ("failed", "invalid"):
            self._console.print(f"{status}: {job.task.label} after {seconds:.1f} s", style="red")
