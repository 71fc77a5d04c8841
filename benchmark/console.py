"""Output, errors and exit codes of commands. Imports no torch."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

import platformdirs
import typer

from hashattack.datasets.errors import UserError
from hashattack.datasets.files import check_replaceable
from hashattack.datasets.texts import printable

EXIT_CELLS_MISSING = 3
EXIT_USAGE = 2
EXIT_INTERNAL = 70
EXIT_INTERRUPTED = 130


def cache_folder(cache: Path | None) -> Path:
    """Return the folder of built data sets: the given one, or the user's cache folder."""
    return (cache or platformdirs.user_cache_path("hashattack")).resolve()


@contextlib.contextmanager
def usage_errors() -> Iterator[None]:
    """Turn errors for the user into their message and exit code 2."""
    try:
        yield
    except UserError as error:
        fail(str(error))
    except OSError as error:
        if error.filename is None:
            raise
        fail(f"{error.filename}: {error.strerror}")
    except RuntimeError as error:  # of Path.resolve, before Python 3.13
        if not str(error).startswith("Symlink loop"):
            raise
        fail(f"a link that leads to itself: {error}")


@contextlib.contextmanager
def internal_errors() -> Iterator[None]:
    """Give unexpected errors an exit code of their own: Python's would be 1, 'worse' for check."""
    try:
        yield
    except typer.Exit:
        raise
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - any error
        traceback.print_exc()
        typer.echo(f"internal error, no result: {type(error).__name__}: {error}", err=True)
        raise typer.Exit(EXIT_INTERNAL) from None


def check_writable(file: Path | None) -> None:
    """Check that a file can be written, before hours go into its content.

    Raises:
        UserError: it is a folder, link, pipe or device, or its folder cannot be made or written to.
    """
    if file is None:
        return
    try:
        check_replaceable(file)
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=file.parent):
            pass
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror}") from None


def fail(message: str) -> None:
    """Print an error and exit with code 2."""
    typer.echo(f"error: {printable(message)}", err=True)
    raise typer.Exit(EXIT_USAGE)


def echo(message: str) -> None:
    """Print a line at once."""
    try:
        typer.echo(message)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader is gone; the run goes on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
