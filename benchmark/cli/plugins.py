"""The commands for plug-ins: begin one, and see whether it keeps the contract."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import tee
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hashattack.benchmark.cli.options import CacheOption, DraftKind, Novelty
from hashattack.benchmark.console import (
    cache_folder,
    check_writable,
    internal_errors,
    say,
    usage_errors,
)
from hashattack.datasets.errors import UserError

if TYPE_CHECKING:
    from types import ModuleType

    from hashattack.benchmark.contract.checks import Verdict

app = typer.Typer()


@app.command()
def new(
    what: Annotated[Novelty, typer.Argument(metavar="KIND", help="What to begin: attack.")],
    name: Annotated[str, typer.Argument(help="Its id, like my-idea.")],
    to: Annotated[Path, typer.Option(help="The folder of its file.")] = Path(),
    kind: Annotated[
        DraftKind,
        typer.Option(
            help="What is new about it: the loss that a gradient loop descends, a loop of its own, "
            "a fit before the first query, or the rule that names target codes."
        ),
    ] = DraftKind.loss,
) -> None:
    """Write an attack of your own that runs as it is, to be changed."""
    from hashattack.benchmark.drafts import write_draft
    from hashattack.benchmark.registry import registry

    with usage_errors():
        draft = write_draft(kind.value, name, to, registry().attacks)
    say(f"wrote a new {what.value} to {draft.file}; try it with")
    say(f"run-benchmark run --suite smoke --plugin {draft.file} --attack {draft.id}")
    say(f"run-benchmark check-plugin {draft.file}")


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
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say what is kept, too, one by one.")
    ] = False,
    to: Annotated[Path | None, typer.Option("--json", help="A file that keeps the findings.")] = (
        None
    ),
    cache: CacheOption = None,
) -> None:
    """Check that a plug-in keeps the contract that the program's own attacks keep.

    Attacks are run with few steps on small images, under every protocol: what they hand over, and
    how they go about it. Exits 0 when every promise is kept, 1 when some are broken, 2 when there
    is nothing to check, 3 when something could not be checked, for want of a library say, 70 when
    this program itself failed.
    """
    from hashattack.benchmark.cli.verdict_text import EXIT_BROKEN, exit_code, summary, told
    from hashattack.benchmark.contract.memory import remember
    from hashattack.benchmark.store.files import write_json

    with internal_errors(), usage_errors():
        check_writable(to)
        said, kept = tee(_verdicts(files or [], attack or [], cache_folder(cache)))
        for line in told(said, verbose=verbose):
            say(line)
        found = list(kept)
        ended = exit_code(found)
        if not attack and ended in (0, EXIT_BROKEN):
            broken = [one.sentence for one in found if one.status == "broken"]
            remember(files or (), broken, cache_folder(cache))
        say(summary(found))
        if to is not None:
            write_json(to, [asdict(verdict) for verdict in found])
        raise typer.Exit(ended)


def _verdicts(files: list[Path], attacks: list[str], cache: Path) -> Iterator[Verdict]:
    """Yield what checks come to, as they do.

    Raises:
        UserError: a file that cannot be imported or declares nothing, an unknown attack.
    """
    import torch

    from hashattack.benchmark.contract.checks import Verdict
    from hashattack.benchmark.contract.examination import (
        attack_verdicts,
        module_verdicts,
        title_verdicts,
    )
    from hashattack.benchmark.contract.world import DIGITS, World
    from hashattack.benchmark.names import lookup
    from hashattack.benchmark.plugins import PluginError, load_plugins
    from hashattack.benchmark.registry import registry

    modules = load_plugins(files)
    if not files and not attacks:
        raise UserError("name a plug-in file, or an attack by --attack")
    _declared(files, modules)
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
        yield from title_verdicts(modules, registry().attacks)
    except PluginError as error:
        yield Verdict("together", "names", "broken", str(error))


def _declared(files: Sequence[Path], modules: Sequence[ModuleType]) -> None:
    """Refuse files that declare nothing, or not what they seem to.

    Raises:
        UserError: the text names the function, where one can be found.
    """
    from hashattack.benchmark.contract.examination import declared
    from hashattack.benchmark.contract.undeclared import undeclared

    for file, module in zip(files, modules, strict=True):
        found = declared(module)
        if not found.attacks and (meant := undeclared(file)):
            name, line = meant[0]
            raise UserError(
                f"no attack is declared in {file}: the function `{name}` (line {line}) returns an "
                "Attack but lacks @attack"
            )
        if not found:
            raise UserError(
                f"{file} declares nothing: no attack (@attack), target-code rule, and no hashing "
                "loss, backbone or data set with a name"
            )
