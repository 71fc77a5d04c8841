"""The commands that compare an attack with a baseline: better or worse?"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hashattack.benchmark.cli.lists import completer
from hashattack.benchmark.cli.options import (
    CacheOption,
    DataRootOption,
    DevicesOption,
    PluginOption,
    QuietOption,
    SlotsPerDeviceOption,
)
from hashattack.benchmark.columns import CHECKED
from hashattack.benchmark.console import (
    cache_folder,
    check_writable,
    echo,
    internal_errors,
    usage_errors,
)
from hashattack.benchmark.names import counted, lookup
from hashattack.benchmark.terminal import show
from hashattack.datasets.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hashattack.benchmark.jobs import Job
    from hashattack.benchmark.regression.check import Run

app = typer.Typer()


_METRICS = ", ".join(CHECKED)
Params = Annotated[
    list[str] | None,
    typer.Option(
        "--param", "-p", help="Set a hyper-parameter of the candidate, like 'steps=10'; repeatable."
    ),
]
OnlyCells = Annotated[
    list[str] | None,
    typer.Option(help="Only these cells of the baseline, like 'source=DPSH-*-32'; repeatable."),
]


@app.command(epilog="Example: run-benchmark check --baseline results/demo --attack dhta")
def check(
    baseline: Annotated[
        Path, typer.Option("--baseline", "-b", help="An output folder, or a file of 'freeze'.")
    ],
    attack: Annotated[
        list[str],
        typer.Option(
            help="The candidate; repeatable, and may be a glob like '*'.",
            autocompletion=completer("attacks"),
        ),
    ],
    plugin: PluginOption = None,
    against: Annotated[
        str | None, typer.Option(help="Another attack of the baseline. Default: the same.")
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help=f"What is compared: {_METRICS}. Default: t_map; of non-targeted attacks map."
        ),
    ] = None,
    min_effect: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="The smallest loss that counts, a fraction. Default: .02; .002 of perceptibility.",
        ),
    ] = None,
    alpha: Annotated[
        float, typer.Option(min=1e-6, max=0.5, help="The level of all cells' tests together.")
    ] = 0.05,
    max_slowdown: Annotated[
        float | None,
        typer.Option(min=1, help="Also fail where it takes more than so many times as long."),
    ] = None,
    only: OnlyCells = None,
    param: Params = None,
    candidate: Annotated[
        Path | None,
        typer.Option(help="Compare what this folder holds, of 'run' or 'score'; craft nothing."),
    ] = None,
    reseed: Annotated[
        int,
        typer.Option(
            min=0, help="Add this to the attack's seeds, to see the variance between seeds."
        ),
    ] = 0,
    retrained: Annotated[
        bool,
        typer.Option("--retrained", help="Hashers may be other trainings: nothing is paired."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="The candidate's folder. Default: check-BASELINE in results."
        ),
    ] = None,
    figures: Annotated[
        Path | None, typer.Option("--json", help="The file that gets all figures.")
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(help="The file that gets JUnit XML, for CI systems.")
    ] = None,
    data_root: DataRootOption = None,
    devices: DevicesOption = "auto",
    slots_per_device: SlotsPerDeviceOption = None,
    quiet: QuietOption = False,
    cache: CacheOption = None,
) -> None:
    """Compare an attack with a baseline on exactly its trials: is it better or worse?

    Crafts on the same target hashers, queries and target labels (or takes with --candidate what a
    folder holds), pairs by query, tests each cell by a paired permutation with Holm's correction,
    and decides by the 95 % interval of candidate minus reference over all cells. Exit codes: 0 a
    loss of --min-effect is ruled out; 1 worse, over all cells or in one, slower than allowed, or a
    broken budget; 4 undecided; 3 cells failed or are missing; 2 usage; 70 an error of this
    program, which says nothing about the attack.
    """
    from hashattack.benchmark.plugins import load_plugins

    with internal_errors(), usage_errors():
        load_plugins(plugin or ())
        from hashattack.benchmark.regression import check as checks
        from hashattack.benchmark.regression import rendering
        from hashattack.benchmark.regression.baseline import read_baseline
        from hashattack.benchmark.regression.candidates import CheckRequest
        from hashattack.benchmark.regression.result import Outcome, Thresholds, worst
        from hashattack.benchmark.store.files import write_json
        from hashattack.benchmark.suites.loading import parse_params

        for file in (figures, junit):
            check_writable(file)
        params = parse_params(param or ())
        if candidate is not None and (params or reseed):
            raise UserError("--candidate crafts nothing: leave --param and --reseed out")
        request = CheckRequest(attack, against, metric, only or (), params, reseed, retrained)
        if metric is not None:
            lookup("metric", metric, CHECKED)
        thresholds = Thresholds(min_effect, alpha, max_slowdown)
        held = read_baseline(baseline, metric, data_root)
        if candidate is not None:
            results = checks.check_stored(request, thresholds, held, candidate)
        else:
            name = baseline.resolve().name if baseline.is_dir() else baseline.stem
            folder = (out or Path("results") / f"check-{name}").resolve()
            places = {"out": folder, "cache": cache_folder(cache)}
            run = _runner(**places, devices=devices, per_device=slots_per_device, quiet=quiet)
            results = checks.check(request, thresholds, held, **places, run=run)
        sentences = ("\n  ".join([result.sentence, *result.hints]) for result in results)
        echo("")
        show(rendering.table(results), "\n".join(sentences))
        if figures is not None:
            write_json(figures, rendering.as_json(results, thresholds, baseline))
        if junit is not None:
            rendering.write_junit(results, thresholds, junit)
        outcome = worst(results)
    if outcome is not Outcome.HELD:
        raise typer.Exit(int(outcome))


@app.command(epilog="Example: run-benchmark freeze results/demo baseline.json")
def freeze(
    out: Annotated[Path, typer.Argument(help="An output folder.")],
    file: Annotated[Path, typer.Argument(help="The file to write, like baseline.json.")],
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="What it keeps; repeatable. Default: t_map, of non-targeted attacks map; there "
            f"is {_METRICS}."
        ),
    ] = None,
    only: OnlyCells = None,
    targets: Annotated[
        bool,
        typer.Option("--targets", help="Keep the hashers' weights beside it, for other machines."),
    ] = False,
) -> None:
    """Write what 'check' needs of a folder to a small file: scores by query, keys, protocol."""
    from hashattack.benchmark.regression import baseline

    with internal_errors(), usage_errors():
        check_writable(file)
        for name in metric or ():
            lookup("metric", name, CHECKED)
        frozen = baseline.freeze(
            out, file, metrics=metric or None, only=only or (), targets=targets
        )
        beside = f", {counted(len(frozen.targets), 'target')} beside it" if targets else ""
        size = file.stat().st_size / 1e3
        echo(f"wrote {counted(len(frozen.cells), 'cell')} to {file} ({size:.0f} kB){beside}")


def _runner(out: Path, cache: Path, devices: str, per_device: int | None, *, quiet: bool) -> Run:
    """Return what does the missing jobs of a plan; what other code crafted is crafted anew."""
    from hashattack.benchmark.cli.run import run_and_show
    from hashattack.benchmark.pipeline import PREPARING
    from hashattack.benchmark.running import RunOptions, is_current_code

    def accepts(job: Job, provenance: Mapping[str, Any]) -> bool:
        return job.stage in PREPARING or is_current_code(job, provenance)

    options = RunOptions(devices, per_device, accepts=accepts)
    return functools.partial(run_and_show, out=out, cache=cache, options=options, quiet=quiet)
