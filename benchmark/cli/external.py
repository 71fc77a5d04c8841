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
    SlotsPerDeviceOption,
)
from hashattack.benchmark.console import EXIT_CELLS_MISSING, cache_folder, say, usage_errors
from hashattack.datasets.errors import UserError

app = typer.Typer()
OriginOption = Annotated[
    Path, typer.Option("--out", "-o", help="The output folder whose hashers are attacked.")
]


@app.command()
def export_trials(
    out: OriginOption,
    to: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("trials"),
    only: OnlyOption = None,
    images: Annotated[
        bool, typer.Option("--images", help="Also the clean queries, as lossless PNG.")
    ] = False,
    hashers: Annotated[
        bool,
        typer.Option(
            "--hashers/--no-hashers",
            help="The networks beside it; without, trials.json says where they are.",
        ),
    ] = True,
    plugin: PluginOption = None,
    cache: CacheOption = None,
) -> None:
    """Write what other code needs to attack the same queries: target labels, hashers, images.

    The queries' own labels are not among it. --only takes columns like dataset, source, policy.
    """
    from hashattack.benchmark.external import export
    from hashattack.benchmark.external.trials import Origin
    from hashattack.benchmark.plugins import load_plugins

    with usage_errors():
        load_plugins(plugin or ())
        origin = Origin.of(out, cache_folder(cache))
        written = export.export_trials(origin, to, only or (), images=images, hashers=hashers)
    for one in written.settings:
        say(one.summary)
    more = ["codes", *(["hashers"] if hashers else []), *(["queries"] if images else [])]
    say(f"wrote {to / 'trials.json'} and targets.csv, labels, {', '.join(more)}")


@app.command()
def score(
    trials: Annotated[Path, typer.Option(help="trials.json, as export-trials wrote it.")],
    out: OriginOption,
    attack: Annotated[str, typer.Option(help="The name of what made them, in results.")],
    source: Annotated[str, typer.Option(help="The target they were made on.")],
    images: Annotated[
        Path | None,
        typer.Option(help="A folder of PNG named by rows, or .npy/.npz/.safetensors [q,3,S,S]"),
    ] = None,
    codes: Annotated[
        Path | None,
        typer.Option(help="Codes of -1 and +1 [q,K]: .npy, .npz, .safetensors, .csv, .txt."),
    ] = None,
    title: Annotated[
        str | None, typer.Option(help="Its name in reports. Default: --attack.")
    ] = None,
    epsilon: Annotated[
        str | None,
        typer.Option(help="The declared L-infinity budget, like 8/255. Default: none."),
    ] = None,
    victim: Annotated[
        list[str] | None,
        typer.Option(help="Globs of targets to query; repeatable. Default: the source."),
    ] = None,
    setting: Annotated[
        int | None, typer.Option(help="One of the trials, by number. Default: all of them.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="Output folder. Default: results/ATTACK-scored.")
    ] = None,
    report: Annotated[
        bool,
        typer.Option(
            "--report/--no-report",
            help="Write results.csv and the report, whose figures take the longest.",
        ),
    ] = True,
    devices: DevicesOption = "auto",
    slots_per_device: SlotsPerDeviceOption = None,
    plugin: PluginOption = None,
    cache: CacheOption = None,
) -> None:
    """Score adversarial images or codes that other code made, as rows of the same table.

    They are audited like an attack's own. Exits 0 when every row is ok or skipped, 3 when one
    failed or is invalid. What the folder held before stays; the same attack on the same source
    is replaced.
    """
    from hashattack.benchmark.cli.attended import run_attended
    from hashattack.benchmark.engines.slots import EngineOptions
    from hashattack.benchmark.external.export import TrialFile
    from hashattack.benchmark.external.scoring import ScoreRequest, submit
    from hashattack.benchmark.external.submission import Kind, parse_epsilon
    from hashattack.benchmark.external.trials import Origin
    from hashattack.benchmark.plugins import load_plugins
    from hashattack.benchmark.results.manifest import manifest_of, result_rows
    from hashattack.benchmark.running import RunOptions

    with usage_errors():
        path = images or codes
        kind: Kind = "images" if codes is None else "codes"
        if path is None or None not in (images, codes):
            raise UserError("give either --images or --codes")
        if codes is not None and epsilon is not None:
            raise UserError("--epsilon is the budget of images; codes have none")
        load_plugins(plugin or ())
        budget = None if epsilon is None else parse_epsilon(epsilon)
        kind = "codes" if images is None else "images"
        victims = victim or []
        request = ScoreRequest(
            kind, path, attack, title or attack, source, budget, victims, setting
        )
        origin = Origin.of(out, cache_folder(cache))
        made = request.submissions(TrialFile.read(trials), origin)
        folder = (to or Path("results") / f"{attack}-scored").resolve()
        whole, plan = submit(origin, folder, made)
        options = RunOptions(EngineOptions(devices, slots_per_device))
        run_attended(whole, plan, out=folder, cache=cache_folder(cache), options=options)
        if report:
            _report_beside(out.resolve(), folder)
        else:
            say(f"scored in {folder}; call without --no-report to write results.csv and the report")
        own, rows = result_rows(folder, manifest_of(plan)), result_rows(folder)
    for row in own:
        say(_summary(row))
    earlier = {row["title"]: None for row in rows if row not in own and _is_bad(row)}
    if earlier:
        say(f"of earlier calls, without a result either: {', '.join(earlier)}")
    if any(map(_is_bad, own)):
        raise typer.Exit(EXIT_CELLS_MISSING)


def _report_beside(out: Path, scored: Path) -> None:
    """Write the rows of what was scored, and one report of them and of the run they belong to."""
    from hashattack.reports.report import write_report
    from hashattack.reports.results import export_results, load_results
    from hashattack.reports.telling import say_written

    export_results(load_results(scored), scored)
    written = write_report([out, scored], scored / "report")
    say("\n" + written.leaderboard)
    say_written(written)


def _is_bad(row: Mapping[str, Any]) -> bool:
    return row["status"] not in ("ok", "skipped")


def _summary(row: Mapping[str, Any]) -> str:
    """Return the result of a row in a line."""
    result = f"t-MAP {100 * row['t_map']:.2f} %" if row["status"] == "ok" else row["reason"]
    notes = f" ({row['notes']})" if row.get("notes") else ""
    return f"{row['status']}: {row['title']} against {row['victim']}: {result}{notes}"
