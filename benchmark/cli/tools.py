"""The commands list, perf and status."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from tabulate import tabulate

from hashattack.benchmark.cli.options import CacheOption, PluginOption
from hashattack.benchmark.console import cache_folder, check_writable, echo, usage_errors
from hashattack.datasets.errors import UserError
from hashattack.datasets.texts import one_line

if TYPE_CHECKING:
    from hashattack.benchmark.results.status import RunningJob, Status

app = typer.Typer()

Kind = Literal["attacks", "targets", "datasets", "suites"]
Table = tuple[list[str], list[list[str]]]


class Measurement(StrEnum):
    """What perf measures."""

    ranking = "ranking"
    crafting = "crafting"
    generator = "generator"
    transfer = "transfer"
    encoding = "encoding"


@app.command("list")
def list_command(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    protocol: Annotated[
        str, typer.Option(help="The protocol of the attacks' hyper-parameters.")
    ] = "released",
    plugin: PluginOption = None,
    cache: CacheOption = None,
) -> None:
    """List the names a suite can use, with their parameters and defaults."""
    from hashattack.benchmark.plugins import installed_plugins, load_plugins
    from hashattack.benchmark.store.files import Memo

    tables: dict[Kind, Callable[[], Table]] = {
        "attacks": lambda: attacks_table(protocol),
        "targets": _targets,
        "datasets": _datasets,
        "suites": _suites,
    }
    with usage_errors():
        load_plugins(plugin or ())
        name = f"{kind} {protocol}"
        memo = Memo(cache_folder(cache) / "lists.json", installed_plugins())
        known = {} if plugin else memo.read()
        if name not in known:
            known[name] = tables[kind]()
            if not plugin:
                memo.write(known)
        header, rows = known[name]
    rows = [[one_line(str(cell)) for cell in row] for row in rows]  # plug-ins write some
    widths = [None] * (len(header) - 2) + ([70, 40] if len(header) > 4 else [40, 80])
    echo(tabulate(rows, header, tablefmt="simple", maxcolwidths=widths))


def attacks_table(protocol: str) -> Table:
    """Return header and rows of the registered attacks."""
    from hashattack.attacks.protocols import PROTOCOLS
    from hashattack.benchmark.names import lookup
    from hashattack.benchmark.registry import registry
    from hashattack.benchmark.suites.loading import hyper_parameters

    chosen = lookup("protocol", protocol, PROTOCOLS)
    rows = []
    for id_, entry in registry().attacks.items():
        attack = entry.build(chosen)
        budget = "none" if attack.epsilon is None else f"{255 * attack.epsilon:g}/255"
        settings = ", ".join(f"{n}={_short(v)}" for n, v in hyper_parameters(attack).items())
        unavailable = f" ({attack.unavailable})" if attack.unavailable else ""
        rows.append([id_, attack.title, budget, settings, entry.help + unavailable])
    return ["id", "name", "budget", f"hyper-parameters ({protocol})", "description"], rows


def _targets() -> Table:
    from hashattack.benchmark.names import first_line
    from hashattack.benchmark.registry import registry

    known = registry()
    rows = [
        [key, name, _fields(cls), first_line(cls)]
        for key, classes in (("method", known.methods), ("backbone", known.backbones))
        for name, cls in classes.items()
    ]
    return ["key", "name", "parameters", "description"], rows


def _datasets() -> Table:
    from hashattack.benchmark.names import first_line
    from hashattack.benchmark.registry import registry

    rows = [[name, _fields(cls), first_line(cls)] for name, cls in registry().datasets.items()]
    return ["name", "parameters", "description"], rows


def _suites() -> Table:
    from hashattack.benchmark.suites.loading import load_suite
    from hashattack.benchmark.suites.sources import shipped

    suites = [load_suite(name) for name in shipped()]
    rows = [[suite.name, " ".join(suite.description.split())] for suite in suites]
    return ["name", "description"], rows


def _fields(cls: type[Any]) -> str:
    return ", ".join(f"{f.name}={_short(f.default)}" for f in dataclasses.fields(cls))


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@app.command()
def perf(
    size: Annotated[
        Literal["full", "small"], typer.Option(help="full: the paper's sizes. small: seconds.")
    ] = "full",
    part: Annotated[
        list[Measurement] | None, typer.Option(help="Only this part; repeatable.")
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
    echo("\n" + tabulate([one.as_row() for one in made], header, tablefmt="simple"))
    echo(f"\nwrote {to}")


@app.command()
def status(
    out: Annotated[Path, typer.Option("--out", "-o", help="An output folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Show the state of a run, from another terminal: jobs, slots, failures, time left."""
    from hashattack.benchmark.results.status import read_status

    with usage_errors():
        found = read_status(out)
    echo(json.dumps(dataclasses.asdict(found), indent=1) if as_json else status_text(found))


def status_text(status: Status) -> str:
    """Return the text of a run's status for a terminal."""
    from hashattack.benchmark.names import span

    parts = [f"{status.out}: {status.state}" + (f" ({status.detail})" if status.detail else "")]
    rows = [[s.stage, s.jobs, s.done, s.running, s.failed] for s in status.stages]
    rows.append(["all", *(sum(counts) for counts in list(zip(*rows, strict=True))[1:])])
    parts.append(tabulate(rows, ["stage", "jobs", "done", "running", "failed"], tablefmt="simple"))
    if status.state == "running":
        busy = {job.slot: job for job in status.running}
        names = dict.fromkeys([*status.slots, *busy])  # workers may have joined since the start
        slots = [(slot, *_job_text(busy.get(slot))) for slot in names]
        parts.append(tabulate(slots, ["slot", "job", "for", "progress"], tablefmt="simple"))
    if status.seconds_left is not None:
        parts.append(f"about {span(status.seconds_left)} left")
    for failure in status.failures:
        lines = [f"{failure.status}: {failure.label}: {failure.reason}"]
        parts.append("\n".join([*lines, *(f"    {line}" for line in failure.last_lines)]))
    return "\n\n".join(parts)


def _job_text(job: RunningJob | None) -> tuple[str, str, str]:
    from hashattack.benchmark.names import span

    if job is None:
        return "", "", ""
    progress = f"{job.done}/{job.total} {job.unit}s" if job.total else ""
    return job.label, span(job.seconds), progress
