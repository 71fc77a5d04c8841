"""The commands list, perf and status."""

from __future__ import annotations

import dataclasses
import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hashattack.benchmark.cli.lists import KINDS, completer, items_of, list_parts
from hashattack.benchmark.cli.options import CacheOption, PluginOption
from hashattack.benchmark.console import cache_folder, check_writable, echo, usage_errors
from hashattack.benchmark.names import lookup
from hashattack.benchmark.terminal import Part, Table, show
from hashattack.datasets.errors import UserError

if TYPE_CHECKING:
    from hashattack.benchmark.results.status import RunningJob, Status

app = typer.Typer()


class Measurement(StrEnum):
    """What perf measures."""

    ranking = "ranking"
    crafting = "crafting"
    generator = "generator"
    transfer = "transfer"
    encoding = "encoding"


def _complete_listed(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    kind = context.params.get("kind")
    return completer(kind)(incomplete) if kind else []


@app.command("list", epilog="Example: run-benchmark list attacks dhta prosgan")
def list_command(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND",
            help="attacks, targets, datasets, suites, scales or protocols; none: what they are.",
            autocompletion=lambda: list(KINDS),
        ),
    ] = None,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="Show these, with their parameters.",
            autocompletion=_complete_listed,
        ),
    ] = None,
    protocol: Annotated[
        str,
        typer.Option(
            help="The protocol of the attacks' hyper-parameters.",
            autocompletion=completer("protocols"),
        ),
    ] = "released",
    plugin: PluginOption = None,
    cache: CacheOption = None,
) -> None:
    """List what suites and options can name; with names, their parameters and defaults."""
    with usage_errors():
        known = None if kind is None else lookup("kind", kind, KINDS)
        items = items_of(known, protocol, cache_folder(cache), plugin) if known else []
        parts = list_parts(known, names or [], items)
    show(*parts)


@app.command(epilog="Example: run-benchmark perf --size small --part ranking")
def perf(
    size: Annotated[
        Literal["full", "small"], typer.Option(help="full: the paper's sizes. small: seconds.")
    ] = "full",
    part: Annotated[
        list[Measurement] | None,
        typer.Option(metavar="PART", help=f"Only {', '.join(Measurement)}; repeatable."),
    ] = None,
    device: Annotated[str, typer.Option(help="As torch names it: cpu, cuda:0.")] = "cpu",
    to: Annotated[Path, typer.Option("--json", help="File for the measurements.")] = Path(
        "results/perf.json"
    ),
) -> None:
    """Measure the program's speed in turns with the usual implementations.

    Ratios are medians over rounds of one run, so a slow machine does not change them; a busy one
    widens their spread. A ratio below its target is reported; the exit code is 0 all the same.
    """
    import torch

    from hashattack.benchmark.perf.measure import comparisons, machine
    from hashattack.benchmark.store.files import write_json

    made = []
    with usage_errors():
        check_writable(to)
        try:
            where = torch.zeros(1, device=device).device
        except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
            raise UserError(f"--device {device}: {error}") from None
        about = machine(where)
        name = about["processor"] or about["machine"]
        echo(f"{name}, {about['threads']} threads, {about['device']}")
        for one in comparisons(size, tuple(part or Measurement), where):
            echo(f"{one.name}: {one.ratio:.3g} {one.outcome}")
            made.append(one)
        write_json(to, {"machine": about, "comparisons": [one.as_json() for one in made]})
    header = ["what", "ratio", "spread", "target", "ours / other", "details"]
    echo("")
    show(Table(header, "frrrff", [one.as_row() for one in made]), f"wrote {to}")


@app.command(epilog="Example: run-benchmark status --out results/demo")
def status(
    out: Annotated[Path, typer.Option("--out", "-o", help="An output folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Show the state of a run, from another terminal: jobs, slots, failures, time left."""
    from hashattack.benchmark.results.status import read_status

    with usage_errors():
        found = read_status(out)
    if as_json:
        echo(json.dumps(dataclasses.asdict(found), indent=1))
    else:
        show(*status_parts(found))


def status_parts(status: Status) -> list[Part]:
    """Return what a terminal shows of a run's status."""
    from hashattack.benchmark.names import span

    stages = [[s.jobs, s.done, s.running, s.failed] for s in status.stages]
    counts = [[s.stage, *map(str, row)] for s, row in zip(status.stages, stages, strict=True)]
    counts.append(["all", *(str(sum(column)) for column in zip(*stages, strict=True))])
    parts: list[Part] = [
        f"{status.out}: {status.state}" + (f" ({status.detail})" if status.detail else ""),
        Table(["stage", "jobs", "done", "running", "failed"], "lrrrr", counts),
    ]
    if status.state == "running":
        busy = {job.slot: job for job in status.running}
        names = dict.fromkeys([*status.slots, *busy])  # workers may have joined since the start
        slots = [(slot, *_job_text(busy.get(slot))) for slot in names]
        parts.append(Table(["slot", "job", "for", "progress"], "ffll", slots))
    if status.seconds_left is not None:
        parts.append(f"about {span(status.seconds_left)} left")
    for failure in status.failures:
        lines = [f"{failure.status}: {failure.label}: {failure.reason}"]
        parts.append("\n".join([*lines, *(f"    {line}" for line in failure.last_lines)]))
    return parts


def _job_text(job: RunningJob | None) -> tuple[str, str, str]:
    from hashattack.benchmark.names import span

    if job is None:
        return "", "", ""
    progress = f"{job.done}/{job.total} {job.unit}s" if job.total else ""
    return job.label, span(job.seconds), progress
