"""The commands that tell whether an attack got better or worse."""

from __future__ import annotations

import functools
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hashattack.benchmark.cli.options import (
    CacheOption,
    DataRootOption,
    DevicesOption,
    PluginOption,
    SlotsPerDeviceOption,
)
from hashattack.benchmark.console import (
    cache_folder,
    check_writable,
    internal_errors,
    say,
    usage_errors,
)
from hashattack.datasets.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hashattack.benchmark.jobs import Job
    from hashattack.benchmark.plan.plan import Plan

app = typer.Typer()


class MetricName(StrEnum):
    """What can be compared, a value a query."""

    t_map = "t_map"
    t_map_stable = "t_map_stable"
    t_map_8bit = "t_map_8bit"
    precision_at_10 = "precision_at_10"
    map = "map"
    perceptibility = "perceptibility"


Params = Annotated[
    list[str] | None,
    typer.Option("--param", "-p", help="Set the candidate so, like 'steps=10'; repeatable."),
]
OnlyCells = Annotated[
    list[str] | None,
    typer.Option(help="Only these cells of the baseline, like 'source=DPSH-*-32'; repeatable."),
]


@app.command()
def check(
    baseline: Annotated[
        Path, typer.Option("--baseline", "-b", help="An output folder, or a file of 'freeze'.")
    ],
    attack: Annotated[
        list[str],
        typer.Option(help="The candidate; repeatable, and may be a glob like '*'."),
    ],
    plugin: PluginOption = None,
    against: Annotated[
        str | None, typer.Option(help="Another attack of the baseline. Default: the same.")
    ] = None,
    metric: Annotated[MetricName, typer.Option(help="What is compared.")] = MetricName.t_map,
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
        int, typer.Option(min=0, help="Move the attack's own seeds by this: how large is luck?")
    ] = 0,
    retrained: Annotated[
        bool,
        typer.Option("--retrained", help="Targets may be other trainings: nothing is paired."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="The candidate's folder. Default: results/check-BASELINE."
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
    cache: CacheOption = None,
) -> None:
    """Tell whether an attack is better or worse than a baseline, on exactly its trials.

    Crafts on the same targets, queries and target labels (or takes with --candidate what a folder
    holds), pairs by query, tests each cell by a paired permutation under Holm's correction, and
    judges by the 95 % interval of candidate minus reference over all cells. Exit codes: 0 a loss
    of --min-effect is ruled out; 1 worse, in all or in a cell, slower than allowed, or a broken
    budget; 4 undecided; 3 cells failed or are missing; 2 usage; 70 an error of the program, which
    is no verdict.
    """
    from hashattack.benchmark.plugins import load_plugins

    with internal_errors(), usage_errors():
        load_plugins(plugin or ())
        from hashattack.benchmark.columns import PER_QUERY
        from hashattack.benchmark.regression.baseline import read_baseline
        from hashattack.benchmark.regression.checking import check as checked
        from hashattack.benchmark.regression.checking import check_stored
        from hashattack.benchmark.regression.question import Question
        from hashattack.benchmark.regression.telling import as_json, table, worst, write_junit
        from hashattack.benchmark.regression.verdict import Demands, Outcome
        from hashattack.benchmark.store.files import write_json
        from hashattack.benchmark.suites.parameters import parse_params

        for file in (figures, junit):
            check_writable(file)
        params = parse_params(param or ())
        if candidate is not None and (params or reseed):
            raise UserError("--candidate crafts nothing: leave --param and --reseed out")
        question = Question(attack, against, metric.value, only or (), params, reseed, retrained)
        effect = PER_QUERY[metric.value].min_effect if min_effect is None else min_effect
        demands = Demands(effect, alpha, max_slowdown)
        held = read_baseline(baseline, metric.value, data_root=data_root, retrained=retrained)
        name = baseline.resolve().name if baseline.is_dir() else baseline.stem
        folder = (out or Path("results") / f"check-{name}").resolve()
        if candidate is not None:
            verdicts = check_stored(question, demands, held, candidate)
        else:
            places = {"out": folder, "cache": cache_folder(cache)}
            run = _runner(**places, devices=devices, per_device=slots_per_device)
            verdicts = checked(question, demands, held, **places, run=run)
        say("\n" + table(verdicts) + "\n")
        for verdict in verdicts:
            say("\n  ".join([verdict.sentence, *verdict.hints]))
        if figures is not None:
            write_json(figures, as_json(verdicts, demands, baseline))
        if junit is not None:
            write_junit(verdicts, junit)
        outcome = worst(verdicts)
    if outcome is not Outcome.HELD:
        raise typer.Exit(int(outcome))


@app.command()
def freeze(
    out: Annotated[Path, typer.Argument(help="An output folder.")],
    file: Annotated[Path, typer.Argument(help="The file to write, like baseline.json.")],
    metric: Annotated[
        list[MetricName] | None, typer.Option(help="What it keeps; repeatable. Default: t_map.")
    ] = None,
    only: OnlyCells = None,
    targets: Annotated[
        bool,
        typer.Option("--targets", help="Keep the targets' weights beside it, for other machines."),
    ] = False,
) -> None:
    """Write what 'check' needs of a folder to a small file: scores by query, keys, protocol."""
    from hashattack.benchmark.regression.baseline import freeze_folder

    with internal_errors(), usage_errors():
        check_writable(file)
        metrics = [one.value for one in metric or [MetricName.t_map]]
        frozen = freeze_folder(out, file, metrics=metrics, only=only or (), targets=targets)
        beside = f", {len(frozen.targets)} targets beside it" if targets else ""
        size = file.stat().st_size / 1e3
        say(f"wrote {len(frozen.cells)} cells to {file} ({size:.0f} kB){beside}")


def _runner(
    out: Path, cache: Path, devices: str, per_device: int | None
) -> Callable[[Plan, Plan], object]:
    """Return what does the missing jobs of a plan; what other code crafted is crafted anew."""
    from hashattack.benchmark.cli.attended import run_attended
    from hashattack.benchmark.pipeline import PREPARING
    from hashattack.benchmark.running import EngineOptions, RunOptions, is_current_code

    def accepts(job: Job, provenance: Mapping[str, Any]) -> bool:
        return job.stage in PREPARING or is_current_code(job, provenance)

    options = RunOptions(EngineOptions(devices, per_device), accepts=accepts)
    return functools.partial(run_attended, out=out, cache=cache, options=options)
