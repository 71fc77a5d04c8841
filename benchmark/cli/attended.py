"""A run that a person attends: told on their terminal, and ended in their words."""

from __future__ import annotations

from pathlib import Path

import typer

from hashattack.benchmark.console import say
from hashattack.benchmark.plan.plan import Plan
from hashattack.benchmark.progress.display import ProgressDisplay
from hashattack.benchmark.results.manifest import Manifest
from hashattack.benchmark.running import RunOptions, run_plan
from hashattack.benchmark.schedule.interrupts import RunStoppedError
from hashattack.benchmark.schedule.loop import RunOutcome


def run_attended(
    plan: Plan, manifest: Manifest, *, out: Path, cache: Path, options: RunOptions
) -> RunOutcome:
    """Run what is not done of a plan; where the run is stopped, so is the command.

    Args:
        plan: what to run.
        manifest: of all cells that the folder is to hold.
        out: the output folder.
        cache: where data sets lie.
        options: where and how.

    Raises:
        typer.Exit: a signal or a full disk ended it.
    """
    try:
        with ProgressDisplay(say) as display:
            return run_plan(
                plan,
                manifest,
                out=out,
                cache=cache,
                options=options,
                listener=display,
                echo=say,
            )
    except RunStoppedError as error:
        say(f"{error}; what is done is kept, and the same command continues in {out}")
        raise typer.Exit(error.exit_code) from None
