"""The commands for plug-ins: begin one, and see whether it keeps the contract."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.commands.options import CacheOption, Novelty
from benchmark.console import cache_folder, say, usage_errors
from datasets.errors import UserError

if TYPE_CHECKING:
    from benchmark.contract.checks import Verdict

EXIT_BROKEN = 1
app = typer.Typer()


@app.command()
def new(
    kind: Annotated[Novelty, typer.Argument(help="What to begin.")],
    name: Annotated[str, typer.Argument(help="Its id, like my-idea.")],
    to: Annotated[Path, typer.Option(help="The folder of its file.")] = Path(),
) -> None:
    """Write an attack of your own that runs as it is, to be changed."""
    from benchmark.plugins import write_template

    with usage_errors():
        file = write_template(name, to)
    say(f"wrote a new {kind.value} to {file}; try it with")
    say(f"run-benchmark run --suite smoke --plugin {file} --attack {file.stem.replace('_', '-')}")


@app.command("check-plugin")
def check_plugin(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE...", help="Plug-in files.")
    ] = None,
    attack: Annotated[
        list[str] | None,
        typer.Option(
            "--attack",
            help="Only this attack, of the files, an installed plug-in or the program's own; "
            "repeatable.",
        ),
    ] = None,
    to: Annotated[Path | None, typer.Option("--json", help="A file that keeps the findings.")] = (
        None
    ),
    cache: CacheOption = None,
) -> None:
    """Check that a plug-in keeps the contract that the program's own attacks keep.

    Attacks are run with few steps on small images, under every protocol: what they hand over, and
    how they go about it. Exits 0 when every promise is kept, 1 when some are broken.
    """
    from benchmark.storage.store import write_json

    found: list[Verdict] = []
    with usage_errors():
        for verdict in _verdicts(files or [], attack or [], cache_folder(cache)):
            if not found or found[-1].of != verdict.of:
                say(verdict.of)
            broken = verdict.status == "broken"
            say(f"  {verdict.status:8}{verdict.sentence if broken else verdict.text}")
            found.append(verdict)
        if to is not None:
            write_json(to, [asdict(verdict) for verdict in found])
    say(_summary(found))
    if any(verdict.status == "broken" for verdict in found):
        raise typer.Exit(EXIT_BROKEN)


def _summary(found: list[Verdict]) -> str:
    counts = Counter(verdict.status for verdict in found)
    made = counts["kept"] + counts["broken"]
    said = (
        f"{counts['broken']} of {made} promises broken"
        if counts["broken"]
        else (f"all {made} promises kept")
    )
    return f"{said}, {counts['skipped']} not checked" if counts["skipped"] else said


def _verdicts(files: list[Path], attacks: list[str], cache: Path) -> Iterator[Verdict]:
    """Yield what checks come to, as they do.

    Raises:
        UserError: a file that cannot be imported or declares nothing, an unknown attack.
    """
    import torch

    from benchmark.contract.checks import Verdict
    from benchmark.contract.examination import attack_verdicts, declared, module_verdicts
    from benchmark.contract.world import DIGITS, World
    from benchmark.names import lookup
    from benchmark.plugins import PluginError, load_plugins
    from benchmark.registry import registry

    modules = load_plugins(files)
    if not files and not attacks:
        raise UserError("name a plug-in file, or an attack by --attack")
    for file, module in zip(files, modules, strict=True):
        if not declared(module):
            raise UserError(
                f"{file} declares nothing: no attack (@attack), target-code rule, and no hashing "
                "loss, backbone or data set with a name"
            )
    torch.set_num_threads(1)  # small tensors
    known = registry().attacks if attacks else {}
    chosen = [lookup("attack", name, known) for name in attacks]
    with tempfile.TemporaryDirectory() as folder:
        world = World(DIGITS.load(cache), Path(folder))
        for entry in chosen:
            yield from attack_verdicts(entry.build, world)
        for module in modules if not attacks else ():
            yield from module_verdicts(module, world, cache)
    try:
        registry()
    except PluginError as error:
        yield Verdict("together", "names", "broken", str(error))
