"""The command line of the benchmark, and the only place where its rooms meet."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import platformdirs
import typer

from benchmark.options import (
    CacheOption,
    DataRootOption,
    DatasetArgument,
    DatasetOption,
    Device,
    Kind,
    Normalise,
    OnlyOption,
    OutOption,
    ParamOption,
    ProtocolOption,
    ScaleOption,
    SeedsOption,
    SuiteOption,
)
from datasets.errors import UserError

if TYPE_CHECKING:
    from benchmark.plan import Plan
    from benchmark.schedule import Observer
    from reports.report import Report

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Targeted attacks on deep-hashing image retrieval: run, resume, compare.",
    epilog="Start with: run_benchmark.py run --suite demo",
)

EXIT_CELLS_MISSING = 3
EXIT_USAGE = 2


@app.command()
def run(
    suite: SuiteOption = "demo",
    out: OutOption = None,
    only: OnlyOption = None,
    dataset: DatasetOption = None,
    scale: ScaleOption = None,
    protocol: ProtocolOption = None,
    seeds: SeedsOption = None,
    data_root: DataRootOption = None,
    slots: Annotated[
        int | None,
        typer.Option(min=1, help="Jobs at a time. Default: one a GPU, or cores / threads a job."),
    ] = None,
    device: Annotated[Device, typer.Option(help="auto takes GPUs where there are any.")] = (
        Device.auto
    ),
    cache: CacheOption = None,
) -> None:
    """Run a suite, or what is missing of it, and print its leaderboard.

    Exits 0 when every cell is ok or skipped, 3 when some failed or are invalid. Stop it any time:
    the same command continues where it stopped.
    """
    from benchmark.engines import LocalEngine, available_slots
    from benchmark.estimate import estimate, remember
    from benchmark.lock import hold
    from benchmark.manifest import write_manifest
    from benchmark.schedule import run_graph
    from benchmark.store import Store

    changes = {"datasets": dataset, "scale": scale, "protocols": protocol, "seeds": seeds}
    with _usage_errors():
        wish = _Wish(suite, out, only, cache, data_root, changes)
        whole, plan, folder, cache = wish.plan()
        places = available_slots(device.value, slots, plan.suite.compute.threads)
    with _usage_errors(), hold(folder):
        write_manifest(whole, folder)  # also what is not wanted now, so that no row is lost
        seconds = estimate(plan, cache, places[0].device)
        began = time.monotonic()
        _say(f"{len(plan.cells)} cells, {len(plan.jobs)} jobs, {len(places)} at a time -> {folder}")
        try:
            with _observer() as observer:
                outcome = run_graph(
                    plan.jobs,
                    seconds,
                    engine=LocalEngine(places),
                    out=folder,
                    cache=cache,
                    observer=observer,
                )
        except KeyboardInterrupt:
            _say(f"stopped; what is done is kept, and the same command continues in {folder}")
            raise typer.Exit(130) from None
        remember(plan, Store(folder / "store"), cache, places[0].device)
        counts = Counter(outcome.status.values())
        told = ", ".join(f"{counts[state]} {state}" for state in sorted(counts))
        _say(f"jobs: {told}; {time.monotonic() - began:.1f} s")
        report = _report(folder)
    bad = ~report.results["status"].isin(["ok", "skipped"])
    if bad.any():
        _say(f"{int(bad.sum())} of {len(report.results)} cells failed or are invalid (see above)")
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
    data_root: DataRootOption = None,
    device: Annotated[Device, typer.Option(help="The device to estimate for.")] = Device.auto,
    cache: CacheOption = None,
) -> None:
    """Show what a run would do: what is done, what is to do, and about how long it takes."""
    from benchmark.engines import available_slots
    from benchmark.estimate import estimate
    from benchmark.outlook import outlook
    from benchmark.progress import span
    from benchmark.store import Store

    changes = {"datasets": dataset, "scale": scale, "protocols": protocol, "seeds": seeds}
    with _usage_errors():
        wish = _Wish(suite, out, only, cache, data_root, changes)
        _, plan, folder, cache = wish.plan()
        places = available_slots(device.value, None, plan.suite.compute.threads)
    seconds = estimate(plan, cache, places[0].device)
    store = Store(folder / "store")
    done = {key for key, job in plan.jobs.items() if store.record(job.ref) is not None}
    ahead = outlook(plan, seconds, done)
    _say(ahead.table)
    _say(
        f"\n{len(plan.cells)} cells; output folder {folder}; adversarial images "
        f"{ahead.image_bytes / 1e9:.2g} GB"
    )
    if ahead.left_jobs:
        _say(
            f"{ahead.left_jobs} jobs to do: {ahead.left_seconds / 3600:.2g} device-hours, about "
            f"{span(ahead.left_seconds / len(places))} on this machine ({len(places)} at a time)"
        )
    else:
        _say("everything is done")


@app.command()
def doctor(
    dataset: DatasetArgument,
    param: ParamOption = None,
    data_root: DataRootOption = None,
    n_t: Annotated[int, typer.Option(min=1, help="Votes an anchor code takes.")] = 9,
    cache: CacheOption = None,
) -> None:
    """Examine a data set: counts, label rows, chance, overlaps, images that cannot be read.

    Exits 0 when nothing would stop a run, 3 otherwise; every finding is listed at once.
    """
    from benchmark.dataset_tools import dataset_spec, diagnosis_table
    from datasets.doctor import examine

    with _usage_errors():
        spec = dataset_spec(dataset, param or [], data_root)
        diagnosis = examine(spec.inspect(_cache(cache)), n_t)
    _say(diagnosis_table(diagnosis))
    if not diagnosis.healthy:
        raise typer.Exit(EXIT_CELLS_MISSING)


@app.command("make-lists")
def make_lists(
    dataset: DatasetArgument,
    official: Annotated[Path, typer.Option("--from", help="Folder of the official files.")],
    to: Annotated[Path, typer.Option("--to", help="Folder the lists are written to.")],
    seed: Annotated[int, typer.Option(help="Of the splits.")] = 0,
) -> None:
    """Make split lists of the paper's sizes from the official files of a data set."""
    from benchmark.dataset_tools import write_lists

    with _usage_errors():
        for line in write_lists(dataset, official, to, seed):
            _say(line)


@app.command("import-target")
def import_target(
    file: Annotated[Path, typer.Argument(help="A state dict: .safetensors, or a torch file.")],
    method: Annotated[str, typer.Option(help="The hashing method it was trained with.")],
    backbone: Annotated[str, typer.Option(help="Its network.")],
    to: Annotated[Path, typer.Option(help="The .safetensors file to write.")],
    side: Annotated[int, typer.Option(help="Side of its images in pixels.")] = 224,
    normalise: Annotated[
        Normalise, typer.Option(help="Whether its images were normalised as for ImageNet.")
    ] = Normalise.none,
    scale: Annotated[
        float | None, typer.Option(help="HashNet's factor of the logit, which a state dict loses.")
    ] = None,
) -> None:
    """Convert a hasher made elsewhere, once and without executing it, for 'checkpoint:' in a suite.

    Reads torchvision's layout with a hash layer for its last one, and the layouts of the ProS-GAN
    paper's released code and of DeepHash-pytorch. Tensors that are missing or left over are named.
    """
    from benchmark.target_tools import convert

    with _usage_errors():
        _say(convert(file, method, backbone, to, side=side, normalise=normalise.value, scale=scale))


@app.command()
def report(
    out: Annotated[Path, typer.Option("--out", "-o", help="An output folder.")],
) -> None:
    """Write the tables and figures of an output folder again, from what its store holds."""
    with _usage_errors():
        _report(out)


@app.command("list")
def list_command(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    protocol: Annotated[
        str, typer.Option(help="Whose hyper-parameters to show attacks with.")
    ] = "released",
) -> None:
    """List what a suite can name, with its parameters and defaults."""
    from tabulate import tabulate

    from benchmark.listing import listing

    with _usage_errors():
        header, rows = listing(kind.value, protocol)
    widths = [None] * (len(header) - 2) + ([70, 40] if len(header) > 4 else [40, 80])
    _say(tabulate(rows, header, tablefmt="simple", maxcolwidths=widths))


@dataclass(frozen=True)
class _Wish:
    """What ``run`` and ``plan`` are asked for."""

    suite: str
    out: Path | None
    only: list[str] | None
    cache: Path | None
    data_root: Path | None
    changes: dict[str, Any]  # keys of the suite to replace; None leaves one as it is

    def plan(self) -> tuple[Plan, Plan, Path, Path]:
        """Return the whole plan, what of it is wanted, the output folder and the cache."""
        from benchmark.dataset_tools import with_root
        from benchmark.plan import make_plan
        from benchmark.registry import lookup
        from benchmark.suite_files import load_suite
        from reports.layouts import LAYOUTS

        changes = {key: value for key, value in self.changes.items() if value}
        suite = with_root(load_suite(self.suite, changes), self.data_root)
        for name in suite.tables:
            lookup("table", name, LAYOUTS)
        folder = (self.out or Path("results") / self._name(suite.name)).resolve()
        cache = _cache(self.cache)
        whole = make_plan(suite, cache)
        return whole, whole.only(self.only or ()), folder, cache

    def _name(self, suite: str) -> str:
        """Return the default output folder's name: another data set or scale is another run."""
        asked = [self.changes[key] or () for key in ("datasets", "scale", "protocols")]
        parts = [part for one in asked for part in ([one] if isinstance(one, str) else one)]
        return "-".join([suite, *(Path(part).stem for part in parts)])


def _cache(cache: Path | None) -> Path:
    return (cache or platformdirs.user_cache_path("targeted-hashing-benchmark")).resolve()


def _report(folder: Path) -> Report:
    from reports.report import write_report

    written = write_report(folder)
    _say("\n" + written.leaderboard)
    _say(
        f"wrote results.csv, results.parquet and {len(written.files) - 2} files in {folder}/report"
    )
    return written


@contextlib.contextmanager
def _usage_errors() -> Iterator[None]:
    """Turn an error that is written for the user into its message and exit code 2."""
    try:
        yield
    except UserError as error:
        _fail(str(error))


@contextlib.contextmanager
def _observer() -> Iterator[Observer]:
    from rich.console import Console

    from benchmark.progress import PlainObserver, RichObserver

    console = Console(stderr=True)
    if console.is_terminal:
        with RichObserver(console) as observer:
            yield observer
    else:
        yield PlainObserver(_say)


def _fail(message: str) -> None:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(EXIT_USAGE)


def _say(message: str) -> None:
    typer.echo(message)
    sys.stdout.flush()


def main() -> None:
    """Run the command line."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    app()


if __name__ == "__main__":
    main()
