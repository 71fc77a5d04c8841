"""The commands for plug-ins: write a first draft, and check one by the rules of attacks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hashattack.benchmark.cli.lists import completer
from hashattack.benchmark.cli.options import CacheOption, DraftKind
from hashattack.benchmark.console import (
    cache_folder,
    check_writable,
    echo,
    internal_errors,
    usage_errors,
)
from hashattack.benchmark.terminal import show
from hashattack.datasets.errors import UserError

if TYPE_CHECKING:
    from hashattack.benchmark.contract.checks import Result

app = typer.Typer()


@app.command(epilog="Example: run-benchmark new attack my-idea --kind loss")
def new(
    what: Annotated[Literal["attack"], typer.Argument(help="The kind of plug-in.")],
    name: Annotated[str, typer.Argument(help="Its id, like my-idea.")],
    to: Annotated[Path, typer.Option(help="The folder of its file.")] = Path(),
    kind: Annotated[
        DraftKind,
        typer.Option(
            help="What is new about it: the loss of projected gradient descent, a loop of its own, "
            "a fit before the first query, the rule that names target codes, or a non-targeted way "
            "of its own."
        ),
    ] = "loss",
) -> None:
    """Write an attack of your own that runs as it is, to be changed."""
    from hashattack.benchmark.drafts import write_draft
    from hashattack.benchmark.registry import registry

    with usage_errors():
        file, id_ = write_draft(kind, name, to, registry().attacks)
    echo(f"wrote a new {what} to {file}; try it with")
    echo(f"run-benchmark run --suite smoke --plugin {file} --attack {id_}")
    echo(f"run-benchmark check-plugin {file}")


@app.command("check-plugin", epilog="Example: run-benchmark check-plugin mine.py")
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
            autocompletion=completer("attacks"),
        ),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="List the checks that passed, too.")
    ] = False,
    to: Annotated[Path | None, typer.Option("--json", help="A file for the results.")] = None,
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds that a check may take; one that hangs has failed.")
    ] = 60,
    cache: CacheOption = None,
) -> None:
    """Check a plug-in by the rules that the built-in attacks pass.

    Attacks run with few steps on small images, under every protocol, the plug-ins of each file in
    a process of its own. Exits 0 when every check
    passed, 1 when one failed, 2 when there is nothing to check, 3 when something could not be
    checked (a library is missing; the output says which), 70 when this program itself failed.
    """
    from hashattack.benchmark.contract import checks
    from hashattack.benchmark.store.files import write_json

    with internal_errors(), usage_errors():
        check_writable(to)
        folder, results = cache_folder(cache), []
        made = _results(files or [], attack or [], folder, timeout)
        for _, group in groupby(made, lambda one: one.subject):
            found = list(group)
            for line in checks.describe(found, verbose=verbose):
                show(line)
            results += found
        code = checks.exit_code(results)
        if not attack and code in (0, checks.EXIT_FAILED):
            checks.remember(files or (), results, folder)
        show(checks.summary(results))
        if to is not None:
            write_json(to, [asdict(result) for result in results])
        raise typer.Exit(code)


def _results(
    files: list[Path], attacks: list[str], cache: Path, timeout: float
) -> Iterator[Result]:
    """Yield the results of checks as they are made, of each file in a process of its own.

    Raises:
        UserError: a file that cannot be imported or declares nothing, an unknown attack.
    """
    from hashattack.benchmark.contract import process

    if not files and not attacks:
        raise UserError("name a plug-in file, or an attack by --attack")
    for group in [files] if attacks else [[file] for file in files]:
        yield from process.results_of(group, attacks, cache, timeout)
