"""The command line of the benchmark, and the only place where its rooms meet."""

from __future__ import annotations

import logging
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hashattack.benchmark.cli.check import app as check_commands
from hashattack.benchmark.cli.data import app as data_commands
from hashattack.benchmark.cli.external import app as external_commands
from hashattack.benchmark.cli.options import (
    AttackOption,
    CacheOption,
    DataRootOption,
    DatasetOption,
    DevicesOption,
    FormatOption,
    OnlyOption,
    OutOption,
    PluginOption,
    ProtocolOption,
    ScaleOption,
    SeedsOption,
    SlotsPerDeviceOption,
    SuiteOption,
)
from hashattack.benchmark.cli.plugins import app as plugin_commands
from hashattack.benchmark.cli.tools import app as tools
from hashattack.benchmark.console import EXIT_CELLS_MISSING, say, usage_errors
from hashattack.benchmark.plan.request import RunRequest
from hashattack.benchmark.results.finished import Rerun
from hashattack.datasets.errors import UserError

if TYPE_CHECKING:
    from hashattack.benchmark.plan.plan import Plan

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Targeted attacks on deep-hashing image retrieval: run, resume, compare.",
    epilog="Start with: run_benchmark.py run --suite demo",
)

app.add_typer(tools)
app.add_typer(data_commands)
app.add_typer(check_commands)
app.add_typer(plugin_commands)
app.add_typer(external_commands)


@app.command()
def run(
    suite: SuiteOption = "demo",
    out: OutOption = None,
    only: OnlyOption = None,
    dataset: DatasetOption = None,
    scale: ScaleOption = None,
    protocol: ProtocolOption = None,
    seeds: SeedsOption = None,
    attack: AttackOption = None,
    plugin: PluginOption = None,
    data_root: DataRootOption = None,
    devices: DevicesOption = "auto",
    slots_per_device: SlotsPerDeviceOption = None,
    engine: Annotated[
        Literal["local", "dask"],
        typer.Option(help="Worker processes of this machine, or of a dask cluster."),
    ] = "local",
    scheduler_file: Annotated[
        Path | None, typer.Option(help="Of the dask cluster: 'dask scheduler --scheduler-file F'.")
    ] = None,
    rerun: Annotated[
        Rerun,
        typer.Option(
            help="What is made again. missing: nothing, failures stand. failed: what failed. "
            "stale: also what other code or versions made. all: everything the chosen cells "
            "stand on."
        ),
    ] = Rerun.failed,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Hash every stored artifact, not only what was written to."),
    ] = False,
    patience: Annotated[
        float,
        typer.Option(
            min=1, help="Minutes a job may show no progress before it is stopped and tried again."
        ),
    ] = 15,
    grace: Annotated[
        float, typer.Option(min=0, help="Seconds running jobs may go on after SIGTERM.")
    ] = 20,
    formats: FormatOption = "html,md,tex,csv",
    cache: CacheOption = None,
) -> None:
    """Run a suite, or what is missing of it, and print its leaderboard.

    Exits 0 when every cell is ok or skipped, 3 when some failed or are invalid. Stop it any time:
    the same command continues where it stopped. Ctrl-C lets running jobs end, a second one does
    not; 'status' shows how it goes from another terminal.
    """
    from hashattack.benchmark.contract.checks import unchecked
    from hashattack.benchmark.results import finished

    changes = {"datasets": dataset, "scale": scale, "protocols": protocol, "seeds": seeds}
    added = tuple(attack or ())
    began = time.monotonic()
    with usage_errors():
        if (engine == "dask") != (scheduler_file is not None):
            raise UserError("--engine dask and --scheduler-file F go together")
        request = RunRequest(
            suite, out, only, cache, data_root, changes, added, tuple(plugin or ())
        )
        asked = {**request.arguments, "devices": [devices, slots_per_device], "formats": formats}
        if not verify and rerun in (Rerun.missing, Rerun.failed):
            known = finished.recall(request.folder, asked, request.cache_folder)
            if known is not None:
                say(f"{known.cells} cells, {known.jobs} jobs, all done -> {request.folder}")
                say(f"\n{known.leaderboard}")
                say(f"its files are as they were; see {request.folder}/report")
                for line in unchecked(request.plugins, request.cache_folder):
                    say(line)
                return
    from hashattack.benchmark.cli.attended import run_attended
    from hashattack.benchmark.names import span
    from hashattack.benchmark.results.manifest import manifest_of
    from hashattack.benchmark.running import EngineOptions, RunOptions
    from hashattack.reports.report import parse_formats, write_report

    with usage_errors():
        sources = finished.stamps(request.files())
        here = devices if engine == "local" else None
        whole, plan = request.plans(here, slots_per_device)
        _check_tables(whole)
        wanted = parse_formats(formats)
        folder = request.folder
        options = RunOptions(
            EngineOptions(devices, slots_per_device, scheduler_file),
            rerun,
            verify,
            grace,
            patience * 60,
        )
        outcome = run_attended(
            plan, manifest_of(whole), out=folder, cache=request.cache_folder, options=options
        )
        counts = Counter(outcome.status.values())
        told = ", ".join(f"{counts[state]} {state}" for state in sorted(counts))
        say(f"jobs: {told or 'none'}; {span(time.monotonic() - began)}")
        say(f"writing the report{', drawing figures' if 'html' in wanted else ''} ...")
        report = write_report([folder], formats=wanted)
        say(f"\n{report.leaderboard}\n{report.summary}")
        bad = ~report.results["status"].isin(["ok", "skipped"])
        if set(counts) <= {"ok", "cached"} and not bad.any():
            finished.remember(
                folder, asked, sources, plan, report=report.files, leaderboard=report.leaderboard
            )
    for line in unchecked(request.plugins, request.cache_folder):
        say(line)
    if bad.any():
        say(f"{int(bad.sum())} of {len(report.results)} cells failed or are invalid (see above)")
    if bad.any() or counts["failed"]:  # pictures are no cell, but were asked for
        raise typer.Exit(EXIT_CELLS_MISSING)


@app.command("plan")
def plan_command(
    suite: SuiteOption = "demo",
    out: OutOption = None,
    only: OnlyOption = None,
    dataset: DatasetOption = None,
    scale: ScaleOption = None,
    protocol: ProtocolOption = None,
    seeds: SeedsOption = None,
    attack: AttackOption = None,
    plugin: PluginOption = None,
    data_root: DataRootOption = None,
    devices: DevicesOption = "auto",
    slots_per_device: SlotsPerDeviceOption = None,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Run the schedule in virtual time.")
    ] = False,
    gpus: Annotated[
        int | None, typer.Option(min=1, help="With --simulate: on so many devices like this one.")
    ] = None,
    explain: Annotated[
        str | None,
        typer.Option(help="Say why a job is to be done: a key's beginning, or part of a label."),
    ] = None,
    cache: CacheOption = None,
) -> None:
    """Show what a run would do: what is done, what is to do, and about how long it takes."""
    from hashattack.benchmark.engines.base import gpu_slots, machine_slots
    from hashattack.benchmark.plan import preview
    from hashattack.benchmark.plan.estimate import estimate
    from hashattack.benchmark.store.store import Store

    changes = {"datasets": dataset, "scale": scale, "protocols": protocol, "seeds": seeds}
    added = tuple(attack or ())
    with usage_errors():
        request = RunRequest(
            suite, out, only, cache, data_root, changes, added, tuple(plugin or ())
        )
        _, plan = request.plans(devices, slots_per_device)
        _check_tables(plan)
        folder = request.folder
        store = Store(folder / "store")
        if explain is not None:
            say("\n".join(preview.explain(plan, store, explain)))
            return
        slots = machine_slots(devices, slots_per_device, plan.suite.compute.threads)
        device = slots[0].torch_device
        if gpus is not None:
            slots = gpu_slots(list(range(gpus)), slots_per_device or 1)
        seconds = estimate(plan, request.cache_folder, device)
        done = {key for key, job in plan.jobs.items() if store.is_done(job.ref)}
        ahead = preview.Preview(plan, seconds, done, slots)
    say(ahead.table)
    say(
        f"\n{len(plan.cells)} cells; output folder {folder}; adversarial images "
        f"{ahead.image_bytes / 1e9:.2g} GB"
    )
    say(ahead.simulated() if simulate else ahead.summary)


@app.command()
def report(
    out: Annotated[
        list[Path],
        typer.Option("--out", "-o", help="An output folder; repeatable: they are merged."),
    ],
    to: Annotated[
        Path | None, typer.Option(help="Where the report goes. Default: report/ in the folder.")
    ] = None,
    formats: FormatOption = "html,md,tex,csv",
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Write the page, tables and figures of output folders again, from what their stores hold.

    Rows of several folders are merged by the job that made them; two folders that disagree on one
    are refused.
    """
    from hashattack.reports.report import parse_formats, write_report

    with usage_errors():
        wanted = parse_formats(formats)
        if len(out) > 1 and to is None:
            raise UserError("name the folder for the report of several runs with --to")
        written = write_report(out, to, wanted)
    if "md" in wanted:
        say("\n" + written.leaderboard)
    say(written.summary)
    if show and written.page is not None:
        typer.launch(str(written.page))


def _check_tables(plan: Plan) -> None:
    """Refuse a table that no report has, before anything runs."""
    from hashattack.benchmark.names import lookup
    from hashattack.reports.published import tables

    for name in plan.suite.tables:
        lookup("table", name, tables())


def main() -> None:
    """Run the command line."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    app()


if __name__ == "__main__":
    main()
