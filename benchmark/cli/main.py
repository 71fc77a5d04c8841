"""The command line: all commands in one program."""

from __future__ import annotations

import logging

import typer

from hashattack.benchmark.cli import check, data, external, plugins, run, tools

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Targeted attacks on deep-hashing image retrieval: run, resume, compare.",
    epilog="Start with: run-benchmark run --suite demo",
)
for commands in (run, tools, data, check, plugins, external):
    app.add_typer(commands.app)


def main() -> None:
    """Run the command line."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    app()
