"""What a person sees of a run: live bars on a terminal, plain lines elsewhere."""

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

from hashattack.benchmark.names import span
from hashattack.benchmark.progress.events import Event


class ProgressDisplay:
    """A listener for a ``with`` block.

    On a terminal: a bar for the whole graph and for every running job, and lines for failures and
    retries. Elsewhere: a line for every job that ran.
    """

    def __init__(self, echo: Callable[[str], None], *, quiet: bool = False) -> None:
        """Take what prints a line where there is no terminal; ``quiet`` shows nothing."""
        self._echo = echo
        self._console = Console(stderr=True, quiet=quiet)
        self._terminal = self._console.is_terminal
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=self._console,
            transient=True,
            disable=not self._terminal,
        )
        self._graph = self._bars.add_task("all jobs", visible=False, unit="jobs", left="")
        self._running: dict[str, TaskID] = {}  # by job
        self._jobs = self._ended = 0

    def __enter__(self) -> ProgressDisplay:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        key, label = ("", "") if event.job is None else (event.job.key, event.job.label)
        if key in self._running and event.kind != "progress":
            self._bars.remove_task(self._running.pop(key))
        match event.kind:
            case "begin":
                self._jobs = event.jobs or 0
                self._bars.update(self._graph, total=self._jobs, visible=True)
            case "started":
                name = f"{event.slot}  {label}"
                self._running[key] = self._bars.add_task(name, total=None, unit="", left="")
            case "progress" if event.progress is not None:
                done, total, unit = event.progress
                self._bars.update(self._running[key], completed=done, total=total, unit=f"{unit}s")
            case "retry":
                self._print(f"retry: {label} on {event.slot}: {event.reason}", "yellow")
            case "ended":
                self._show_end(event, label)
            case "stopping":
                running = event.running or []
                self._print(
                    f"stopping: nothing new is started; {len(running)} running jobs go on to their "
                    f"end ({'; '.join(running)}); Ctrl-C again stops them, too",
                    "yellow",
                )

    def _show_end(self, event: Event, label: str) -> None:
        self._ended += 1
        left = f"about {span(event.left)} left" if event.left else ""
        took = f"{event.seconds or 0.0:.1f} s"
        self._bars.update(self._graph, advance=1, left=left)
        if self._terminal and event.status in ("failed", "invalid"):
            self._print(f"{event.status}: {label} after {took}: {event.reason}", "red")
        elif not self._terminal and event.status not in ("cached", "blocked"):
            rest = f", {left}" if left else ""  # the leaderboard lists the reasons of failures
            self._echo(f"[{self._ended}/{self._jobs}] {label}: {event.status} in {took}{rest}")

    def _print(self, message: str, style: str) -> None:
        if self._terminal:
            self._console.print(message, style=style, markup=False)
        else:
            self._echo(message)
