"""The commands run, plan and report."""

from __future__ import annotations

import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hashattack.benchmark.cli.options import (
    AttackOption,
    CacheOption,
    DataRootOption,
    DatasetOption,
    DevicesOption,
    FormatOption,
    LogOption,
    OnlyOption,
    OutOption,
    PluginOption,
    ProtocolOption,
    QuietOption,
    ScaleOption,
    SeedsOption,
    SetOption,
    SlotsPerDeviceOption,
    SuiteOption,
)
from hashattack.benchmark.console import EXIT_CELLS_MISSING, echo, usage_errors
from hashattack.benchmark.names import counted, span
from hashattack.benchmark.plan.request import RunRequest
from hashattack.benchmark.results.finished import Rerun
from hashattack.benchmark.terminal import show
from hashattack.datasets.errors import UserError

if TYPE_CHECKING:
    from hashattack.benchmark.plan.plan import Plan
    from hashattack.benchmark.progress.events import Listener
    from hashattack.benchmark.results.manifest import Manifest
    from hashattack.benchmark.running import RunOptions
    from hashattack.benchmark.schedule.loop import RunOutcome

app = typer.Typer()


@app.command(epilog="Example: run-benchmark run --suite demo --plugin mine.py --attack mine")
def run(
    suite: SuiteOption = "demo",
    out: OutOption = None,
    only: OnlyOption = None,
    dataset: DatasetOption = None,
    scale: ScaleOption = None,
    protocol: ProtocolOption = None,
    seeds: SeedsOption = None,
    values: SetOption = None,
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
            metavar="WHICH",
            help="Which jobs run again. missing: none, failures stay. failed: failed ones. "
            "stale: also those made by other code or versions. all: every job of the chosen cells.",
        ),
    ] = Rerun.failed,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Hash every stored file, not only those that changed."),
    ] = False,
    patience: Annotated[
        float,
        typer.Option(min=1, help="Minutes without progress after which a job is stopped."),
    ] = 15,
    grace: Annotated[
        float, typer.Option(min=0, help="Seconds that running jobs get after SIGTERM.")
    ] = 20,
    formats: FormatOption = "html,md,tex,csv",
    log: LogOption = None,
    quiet: QuietOption = False,
    cache: CacheOption = None,
) -> None:
    """Run the missing jobs of a suite and print its leaderboard.

    Exits with 0 if every cell is ok or skipped and with 3 if some failed or are invalid. You can
    stop a run at any time: the same command continues. Ctrl-C lets running jobs finish, a second
    one does not. 'status' shows the progress from another terminal.
    """
    from hashattack.benchmark import tracking
    from hashattack.benchmark.results import finished

    changes = {"datasets": dataset, "scale": scale, "protocols": protocol, "seeds": seeds}
    began = time.monotonic()
    with usage_errors():
        if (engine == "dask") != (scheduler_file is not None):
            raise UserError("--engine dask and --scheduler-file F go together")
        request = RunRequest(suite, out, only, cache, data_root, changes, attack, plugin, values)
        folder, devices_and_slots = request.folder, [devices, slots_per_device]
        arguments = {**request.arguments, "devices": devices_and_slots, "formats": formats}
        if log is not None:
            tracking.check_installed(log)
        elif not verify and rerun in (Rerun.missing, Rerun.failed):
            known = finished.recall(folder, arguments, request.cache_folder)
            if known is not None:
                cells, jobs = counted(known.cells, "cell"), counted(known.jobs, "job")
                unchanged = f"all files are unchanged; see {folder}/report"
                show(f"{cells}, {jobs}, all done -> {folder}", *known.leaderboard, unchanged)
                _echo_unchecked(plugin or (), request.cache_folder)
                return
    from hashattack.benchmark.provenance import versions
    from hashattack.benchmark.results.manifest import manifest_of
    from hashattack.benchmark.running import RunOptions
    from hashattack.reports.report import parse_formats, write_report

    with usage_errors(), ExitStack() as stack:
        chosen = parse_formats(formats)
        sources = finished.stamps(request.files())
        whole, plan = request.plans(devices if engine == "local" else None, slots_per_device)
        _check_tables(whole)
        options = RunOptions(
            devices, slots_per_device, scheduler_file, rerun, verify, grace, patience * 60
        )
        manifest = manifest_of(whole)
        tracked = None
        if log is not None:
            settings = {"command": shlex.join(sys.argv), **versions()}
            tracked = stack.enter_context(tracking.Tracking(log, folder, manifest, settings))
        outcome = run_and_show(
            plan,
            manifest,
            out=folder,
            cache=request.cache_folder,
            options=options,
            quiet=quiet,
            listeners=[tracked] if tracked is not None else [],
        )
        counts = Counter(outcome.status.values())
        summary = ", ".join(f"{counts[state]} {state}" for state in sorted(counts))
        if not quiet:
            echo(f"jobs: {summary or 'none'}; {span(time.monotonic() - began)}")
            echo(f"writing the report{', drawing figures' if 'html' in chosen else ''} ...")
        written = write_report([folder], formats=chosen)
        if tracked is not None:
            tracked.keep(written.files)
        echo("")
        show(*written.leaderboard, written.summary)
        bad = ~written.results["status"].isin(["ok", "skipped"])
        if set(counts) <= {"ok", "cached"} and not bad.any():
            finished.remember(
                folder,
                arguments,
                sources,
                plan,
                report=written.files,
                leaderboard=written.leaderboard,
            )
    _echo_unchecked(plugin or (), request.cache_folder)
    if bad.any():
        show(f"{int(bad.sum())} of {counted(len(bad), 'cell')} failed or are invalid (see above)")
    if bad.any() or counts["failed"]:  # a gallery is no cell, but was requested
        raise typer.Exit(EXIT_CELLS_MISSING)


@app.command("plan", epilog="Example: run-benchmark plan --suite demo --seeds 3")
def plan_command(
    suite: SuiteOption = "demo",
    out: OutOption = None,
    only: OnlyOption = None,
    dataset: DatasetOption = None,
    scale: ScaleOption = None,
    protocol: ProtocolOption = None,
    seeds: SeedsOption = None,
    values: SetOption = None,
    attack: AttackOption = None,
    plugin: PluginOption = None,
    data_root: DataRootOption = None,
    devices: DevicesOption = "auto",
    slots_per_device: SlotsPerDeviceOption = None,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Run the schedule in virtual time.")
    ] = False,
    gpus: Annotated[
        int | None,
        typer.Option(min=1, help="With --simulate: how many devices like this one."),
    ] = None,
    explain: Annotated[
        str | None,
        typer.Option(help="Explain a job, by the beginning of its key or a part of its label."),
    ] = None,
    cache: CacheOption = None,
) -> None:
    """Show what a run would do: finished and remaining jobs, and an estimate of the time."""
    from hashattack.benchmark.engines.base import gpu_slots, machine_slots
    from hashattack.benchmark.plan import preview
    from hashattack.benchmark.plan.estimate import estimate
    from hashattack.benchmark.store.store import Store

    changes = {"datasets": dataset, "scale": scale, "protocols": protocol, "seeds": seeds}
    with usage_errors():
        if gpus is not None and not simulate:
            raise UserError("--gpus is how many devices to simulate: add --simulate")
        request = RunRequest(suite, out, only, cache, data_root, changes, attack, plugin, values)
        _, plan = request.plans(devices, slots_per_device)
        _check_tables(plan)
        store = Store(request.folder / "store")
        if explain is not None:
            show("\n".join(preview.explain(plan, store, explain)))
            return
        slots = machine_slots(devices, slots_per_device, plan.suite.compute.threads)
        device = slots[0].torch_device
        if gpus is not None:
            slots = gpu_slots(list(range(gpus)), slots_per_device or 1)
        seconds = estimate(plan, request.cache_folder, device)
        done = {key for key, job in plan.jobs.items() if store.is_done(job.ref)}
        shown = preview.Preview(plan, seconds, done, slots)
    size = f"adversarial images {shown.image_bytes / 1e9:.2g} GB"
    cells = f"{counted(len(plan.cells), 'cell')}; output folder {request.folder}; {size}"
    show(shown.table, f"{cells}\n{shown.simulated() if simulate else shown.summary}")


@app.command(epilog="Example: run-benchmark report --out results/demo --open")
def report(
    out: Annotated[
        list[Path],
        typer.Option("--out", "-o", help="An output folder; repeatable: several are merged."),
    ],
    to: Annotated[
        Path | None, typer.Option(help="Folder for the report. Default: report/ in the folder.")
    ] = None,
    formats: FormatOption = "html,md,tex,csv",
    browser: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Write the page, tables and figures of output folders again, from their stores.

    Rows of several folders are merged by job key; folders that disagree on a row are refused.
    """
    from hashattack.reports.report import parse_formats, write_report

    with usage_errors():
        chosen = parse_formats(formats)
        if len(out) > 1 and to is None:
            raise UserError("name the folder for the report of several runs with --to")
        written = write_report(out, to, chosen)
    show(*(written.leaderboard if "md" in chosen else ()), written.summary)
    if browser and written.page is not None:
        typer.launch(str(written.page))


def run_and_show(
    plan: Plan,
    manifest: Manifest,
    *,
    out: Path,
    cache: Path,
    options: RunOptions,
    quiet: bool = False,
    listeners: Sequence[Listener] = (),
) -> RunOutcome:
    """Run the missing jobs of a plan with a progress display.

    Args:
        plan: the jobs to run.
        manifest: of all cells of the folder.
        out: the output folder.
        cache: folder of built data sets.
        options: where and how the jobs run.
        quiet: print nothing unless the run is stopped.
        listeners: what else gets the events of the run.

    Raises:
        typer.Exit: a signal or a full disk stopped the run.
    """
    from hashattack.benchmark.progress.display import ProgressDisplay
    from hashattack.benchmark.running import run_plan
    from hashattack.benchmark.schedule.interrupts import RunStoppedError

    line = (lambda _: None) if quiet else echo
    try:
        with ProgressDisplay(line, quiet=quiet) as display:
            return run_plan(
                plan,
                manifest,
                out=out,
                cache=cache,
                options=options,
                listeners=(display, *listeners),
                echo=line,
            )
    except RunStoppedError as error:
        show(f"{error}; what is done is kept, and the same command continues in {out}")
        raise typer.Exit(error.exit_code) from None


def _check_tables(plan: Plan) -> None:
    """Refuse an unknown table before anything runs."""
    from hashattack.benchmark.names import lookup
    from hashattack.reports.published import tables

    for name in plan.suite.tables:
        lookup("table", name, tables())


def _echo_unchecked(plugins: Iterable[Path], cache: Path) -> None:
    """Name the plug-ins that check-plugin has not passed in their present form."""
    from hashattack.benchmark.contract.checks import unchecked

    for line in unchecked(plugins, cache):
        show(line)
