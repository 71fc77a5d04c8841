"""The commands for attacks of other code: trials out, images or codes back in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from hashattack.benchmark.cli.options import (
    CacheOption,
    DevicesOption,
    OnlyOption,
    PluginOption,
    QuietOption,
    SlotsPerDeviceOption,
)
from hashattack.benchmark.columns import COLUMNS, RANKED_BY, Goal
from hashattack.benchmark.console import EXIT_CELLS_MISSING, cache_folder, echo, usage_errors
from hashattack.benchmark.terminal import show
from hashattack.datasets.errors import UserError

app = typer.Typer()
OriginOption = Annotated[
    Path, typer.Option("--out", "-o", help="The output folder whose hashers are attacked.")
]


@app.command(epilog="Example: run-benchmark export-trials --out results/demo --to trials --images")
def export_trials(
    out: OriginOption,
    to: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("trials"),
    only: OnlyOption = None,
    goal: Annotated[
        Goal, typer.Option(help="Of the attacks they are for: targeted or non-targeted.")
    ] = "targeted",
    images: Annotated[
        bool, typer.Option("--images", help="Also the clean queries, as lossless PNG.")
    ] = False,
    query_labels: Annotated[
        bool,
        typer.Option(
            "--query-labels",
            help="Also the queries' own labels, for a non-targeted attack that sees them.",
        ),
    ] = False,
    no_hashers: Annotated[
        bool,
        typer.Option("--no-hashers", help="Without the networks: trials.json says where they are."),
    ] = False,
    plugin: PluginOption = None,
    cache: CacheOption = None,
) -> None:
    """Write what other code needs to attack the same queries: target labels, hashers, images.

    The queries' own labels are not among it, unless --query-labels says so. --only takes columns
    like dataset, source, policy.
    """
    from hashattack.benchmark.external import export
    from hashattack.benchmark.external.trials import Origin
    from hashattack.benchmark.plugins import load_plugins

    with usage_errors():
        load_plugins(plugin or ())
        origin = Origin.of(out, cache_folder(cache))
        written = export.export_trials(
            origin,
            to,
            only or (),
            goal=goal,
            images=images,
            hashers=not no_hashers,
            query_labels=query_labels,
        )
    for one in written.settings:
        show(one.summary)
    more = ", hashers" * (not no_hashers) + ", queries" * images
    show(f"wrote {to / 'trials.json'} and targets.csv, labels, codes{more}")


@app.command(
    epilog="Example: run-benchmark score --trials trials/trials.json --out results/demo "
    "--source DPSH-AlexNet-32 --attack mine --images images --epsilon 8/255"
)
def score(
    trials: Annotated[Path, typer.Option(help="trials.json, as export-trials wrote it.")],
    out: OriginOption,
    attack: Annotated[str, typer.Option(help="The name of what made them, in results.")],
    source: Annotated[str, typer.Option(help="The target hasher they were made on.")],
    images: Annotated[
        Path | None,
        typer.Option(help="PNG files named by row, or .npy, .npz, .safetensors [q,3,S,S]."),
    ] = None,
    codes: Annotated[
        Path | None, typer.Option(help="-1 and +1 [q,K]: .npy, .npz, .safetensors, .csv, .txt.")
    ] = None,
    title: Annotated[str, typer.Option(help="Its name in reports. Default: --attack.")] = "",
    epsilon: Annotated[
        str | None, typer.Option(help="Declared L-infinity budget, like 8/255. Default: none.")
    ] = None,
    victim: Annotated[
        list[str] | None,
        typer.Option(help="Globs of target hashers; repeatable. Default: the source."),
    ] = None,
    setting: Annotated[int | None, typer.Option(help="One of the trials. Default: all.")] = None,
    to: Annotated[
        Path | None, typer.Option(help="The folder to write to. Default: ATTACK-scored in results.")
    ] = None,
    no_report: Annotated[
        bool,
        typer.Option(
            "--no-report", help="Without results.csv and the report, which take the longest."
        ),
    ] = False,
    devices: DevicesOption = "auto",
    slots_per_device: SlotsPerDeviceOption = None,
    quiet: QuietOption = False,
    plugin: PluginOption = None,
    cache: CacheOption = None,
) -> None:
    """Score adversarial images or codes that other code made, as rows of the same table.

    They are audited like an attack's own. Exits 0 when every row is ok or skipped, 3 when one
    failed or is invalid. What the folder held before stays; the same attack on the same source
    is replaced.
    """
    from hashattack.benchmark.cli.run import run_and_show
    from hashattack.benchmark.external.export import TrialFile
    from hashattack.benchmark.external.scoring import ScoreRequest, submit
    from hashattack.benchmark.external.submission import Kind, parse_epsilon
    from hashattack.benchmark.external.trials import Origin
    from hashattack.benchmark.plugins import load_plugins
    from hashattack.benchmark.results.frame import load_results
    from hashattack.benchmark.results.manifest import manifest_of, result_rows
    from hashattack.benchmark.running import RunOptions
    from hashattack.reports.report import write_report
    from hashattack.reports.results import export_results

    with usage_errors():
        path = images or codes
        kind: Kind = "images" if codes is None else "codes"
        if path is None or None not in (images, codes):
            raise UserError("give either --images or --codes")
        if codes is not None and epsilon is not None:
            raise UserError("--epsilon is the budget of images; codes have none")
        load_plugins(plugin or ())
        request = ScoreRequest(
            kind=kind,
            path=path,
            attack=attack,
            title=title or attack,
            source=source,
            epsilon=None if epsilon is None else parse_epsilon(epsilon),
            victims=victim or [],
            setting=setting,
        )
        origin = Origin.of(out, cache_folder(cache))
        folder = (to or Path("results") / f"{attack}-scored").resolve()
        plan, manifest = submit(origin, folder, request.cells(TrialFile.read(trials), origin))
        options = RunOptions(devices, slots_per_device)
        where = cache_folder(cache)
        run_and_show(plan, manifest, out=folder, cache=where, options=options, quiet=quiet)
        if not no_report:  # of what was scored, and of that and the run together
            export_results(load_results(folder), folder)
            written = write_report([out.resolve(), folder], folder / "report")
            echo("")
            show(*written.leaderboard, written.summary)
        else:
            show(
                f"scored in {folder}; without --no-report the command writes results.csv and report"
            )
        own, rows = result_rows(folder, manifest_of(plan)), result_rows(folder)
    for row in own:
        show(_summary(row))
    fine = ("ok", "skipped")
    earlier = {r["title"]: None for r in rows if r not in own and r["status"] not in fine}
    if earlier:
        show(f"of earlier calls, without a result either: {', '.join(earlier)}")
    if any(row["status"] not in fine for row in own):
        raise typer.Exit(EXIT_CELLS_MISSING)


def _summary(row: Mapping[str, Any]) -> str:
    """Return the result of a row in a line."""
    column = COLUMNS[RANKED_BY[row["goal"]]]
    measured = f"{column.title} {column.text(row.get(column.name))} {column.unit}"
    result = measured if row["status"] == "ok" else row["reason"]
    notes = f" ({row['notes']})" if row.get("notes") else ""
    return f"{row['status']}: {row['title']} against {row['victim']}: {result}{notes}"
