"""Telling a person how a run goes: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

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

from hashattack.benchmark.durations import span
from hashattack.benchmark.jobs import Job
from hashattack.benchmark.progress.observers import Observer


def tried_again(job: Job, slot: str, reason: str) -> str:
    """Return what is said when an attempt came to nothing."""
    return f"again: {job.label} on {slot}: {reason}"


def finishing(jobs: Sequence[Job]) -> str:
    """Return what is said when a run is asked to stop."""
    labels = "; ".join(job.label for job in jobs)
    return (
        f"stopping: nothing new is started; {len(jobs)} running jobs go on to their end "
        f"({labels}); Ctrl-C again stops them, too"
    )


@contextlib.contextmanager
def observed(say: Callable[[str], None]) -> Iterator[Observer]:
    """Tell a person how a run goes: bars where there is a terminal, lines where not."""
    console = Console(stderr=True)
    if console.is_terminal:
        with RichObserver(console) as observer:
            yield observer
    else:
        yield PlainObserver(say)


class PlainObserver:
    """One line for every job that ran, for logs and pipes."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._total = self._ended = 0

    def begin(self, total: int, left: float) -> None:
        """Note the size of the graph."""
        del left
        self._total = total

    def started(self, job: Job, slot: str, left: float) -> None:
        """Say nothing: the end will."""

    def progress(self, job: Job, done: int, total: int, unit: str) -> None:
        """Say nothing: a log wants no bars."""

    def ended(self, job: Job, status: str, reason: str, seconds: float, left: float) -> None:
        """Print a line for a job that ran."""
        del reason  # the leaderboard lists the reasons
        self._ended += 1
        if status in ("cached", "blocked"):
            return
        rest = f", about {span(left)} left" if left else ""
        self._say(f"[{self._ended}/{self._total}] {job.label}: {status} in {seconds:.1f} s{rest}")

    def again(self, job: Job, slot: str, reason: str) -> None:
        """Print why a job is tried again."""
        self._say(tried_again(job, slot, reason))

    def finishing(self, jobs: Sequence[Job]) -> None:
        """Print what goes on."""
        self._say(finishing(jobs))


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

    def begin(self, total: int, left: float) -> None:
        """Show the bar of the whole graph."""
        del left
        self._graph = self._bars.add_task("[bold]all jobs", total=total, unit="jobs", left="")

    def started(self, job: Job, slot: str, left: float) -> None:
        """Show a bar for the job."""
        del left  # it stands at the graph's bar
        label = f"{slot}  {job.label}"
        self._tasks[job.key] = self._bars.add_task(label, total=None, unit="", left="")

    def progress(self, job: Job, done: int, total: int, unit: str) -> None:
        """Move the job's bar."""
        self._bars.update(self._tasks[job.key], completed=done, total=total, unit=f"{unit}s")

    def ended(self, job: Job, status: str, reason: str, seconds: float, left: float) -> None:
        """Drop the job's bar and move the graph's; print a line for anything but success."""
        self._drop(job)
        if self._graph is not None:
            rest = f"about {span(left)} left" if left else ""
            self._bars.update(self._graph, advance=1, left=rest)
        if status in ("failed", "invalid"):
            told = f"{status}: {job.label} after {seconds:.1f} s: {reason}"
            self._console.print(told, style="red", markup=False)

    def again(self, job: Job, slot: str, reason: str) -> None:
        """Drop the job's bar and print why it is tried again."""
        self._drop(job)
        self._console.print(tried_again(job, slot, reason), style="yellow", markup=False)

    def finishing(self, jobs: Sequence[Job]) -> None:
        """Print what goes on."""
        self._console.print(finishing(jobs), style="yellow", markup=False)

    def _drop(self, job: Job) -> None:
        if job.key in self._tasks:
            self._bars.remove_task(self._tasks.pop(job.key))
