"""The commands beside runs: how one goes, data sets, foreign targets, lists, speed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from hashattack.benchmark.cli.options import (
    CacheOption,
    DataRootOption,
    DatasetArgument,
    Kind,
    Normalise,
    ParamOption,
    PerfPart,
    PerfSize,
    PluginOption,
)
from hashattack.benchmark.console import EXIT_CELLS_MISSING, cache_folder, say, usage_errors
from hashattack.datasets.errors import UserError

app = typer.Typer()


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
    from hashattack.benchmark.cli.dataset_tools import dataset_spec, diagnosis_table
    from hashattack.datasets.doctor import examine

    with usage_errors():
        spec = dataset_spec(dataset, param or [], data_root)
        diagnosis = examine(spec.inspect(cache_folder(cache)), n_t)
    say(diagnosis_table(diagnosis))
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
    from hashattack.benchmark.cli.dataset_tools import write_lists

    with usage_errors():
        for line in write_lists(dataset, official, to, seed):
            say(line)


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
    from hashattack.benchmark.cli.target_tools import convert

    with usage_errors():
        say(convert(file, method, backbone, to, side=side, normalise=normalise.value, scale=scale))


@app.command("list")
def list_command(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    protocol: Annotated[
        str, typer.Option(help="Whose hyper-parameters to show attacks with.")
    ] = "released",
    plugin: PluginOption = None,
    cache: CacheOption = None,
) -> None:
    """List what a suite can name, with its parameters and defaults."""
    from tabulate import tabulate

    from hashattack.benchmark.plugins import installed_plugins, load_plugins
    from hashattack.benchmark.store.kept import kept

    def look() -> tuple[list[str], list[list[str]]]:
        from hashattack.benchmark.cli.listing import listing

        return listing(kind.value, protocol)

    with usage_errors():
        load_plugins(plugin or ())
        answer = f"list {kind.value} {protocol} {installed_plugins()}"
        header, rows = look() if plugin else kept(cache_folder(cache), answer, look)
    widths = [None] * (len(header) - 2) + ([70, 40] if len(header) > 4 else [40, 80])
    say(tabulate(rows, header, tablefmt="simple", maxcolwidths=widths))


@app.command()
def perf(
    size: Annotated[PerfSize, typer.Option(help="full: the paper's sizes. small: seconds.")] = (
        PerfSize.full
    ),
    part: Annotated[list[PerfPart] | None, typer.Option(help="Only this part; repeatable.")] = None,
    device: Annotated[str, typer.Option(help="As torch calls it: cpu, cuda:0.")] = "cpu",
    to: Annotated[Path, typer.Option("--json", help="The file that keeps the figures.")] = Path(
        "results/perf.json"
    ),
) -> None:
    """Measure how fast the program is, each thing in turns with the usual way to do it.

    Ratios are medians over rounds of one run, so that a slow machine does not matter; a busy one
    widens the spread. Nothing fails: a ratio that misses what is aimed at says so.
    """
    import torch
    from tabulate import tabulate

    from hashattack.benchmark.perf.measure import comparisons, machine
    from hashattack.benchmark.store.files import write_json

    parts = tuple(one.value for one in part or PerfPart)
    made = []
    with usage_errors():
        try:
            where = torch.zeros(1, device=device).device
        except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
            raise UserError(f"--device {device}: {error}") from None
        about = machine(where)
        name = about["processor"] or about["machine"]
        say(f"{name}, {about['threads']} threads, {about['device']}")
        for one in comparisons(size.value, parts, where):
            say(f"{one.name}: {one.ratio:.3g} {one.verdict}")
            made.append(one)
        write_json(to, {"machine": about, "comparisons": [one.as_json() for one in made]})
    header = ["what", "ratio", "spread", "wanted", "ours / other", "beside"]
    say("\n" + tabulate([one.as_row() for one in made], header, tablefmt="simple"))
    say(f"\nwrote {to}")


@app.command()
def status(
    out: Annotated[Path, typer.Option("--out", "-o", help="An output folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Show how a run goes or ended, from another terminal: jobs, slots, failures, time left."""
    from hashattack.benchmark.cli.status_text import status_text
    from hashattack.benchmark.results.status import read_status

    with usage_errors():
        found = read_status(out)
    say(json.dumps(dataclasses.asdict(found), indent=1) if as_json else status_text(found))
