"""The command line: all commands in one program."""

from __future__ import annotations

import logging
from importlib.metadata import version
from typing import Annotated

import typer

from hashattack.benchmark.cli import check, data, external, plugins, run, tools

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Targeted attacks on deep-hashing image retrieval: run, resume, compare.",
    epilog="Start with: run-benchmark run --suite demo",
)
for commands in (run, tools, data, check, plugins, external):
    app.add_typer(commands.app)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"hashattack {version('hashattack')}")
        raise typer.Exit


@app.callback()
def program(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Take the options of the program itself."""


def main() -> None:
    """Run the command line."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    app()
