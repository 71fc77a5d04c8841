"""Texts and tables as wide as the window they are printed in. Imports no torch."""

from __future__ import annotations

import io
import os
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from hashattack.benchmark.console import echo

_WIDTH = 100  # of what is no terminal: a file, a pipe, the log of a CI system
_NARROWEST = 12  # what a column that folds keeps; a window with less breaks lines by itself


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        headings: of its columns; they are folded at spaces to the width of the cells.
        align: a letter for each column: ``l`` and ``r`` are as wide as their longest line, on the
            left and on the right; ``f`` folds where the window is narrow.
        rows: the cells; those of a row that is shorter than the others are titles of the rows
            below, after an empty line.
    """

    headings: Sequence[str]
    align: str
    rows: Sequence[Sequence[str]]


Part = str | Table


def show(*parts: Part) -> None:
    """Print texts and tables, an empty line between them, to fit the window.

    What is no terminal is :data:`_WIDTH` wide, or ``COLUMNS``, has no codes for colours, and keeps
    the lines of texts whole, for tools that search them.
    """
    console = Console()
    plain = not console.is_terminal or console.is_dumb_terminal
    width = console.width if sys.stdout.isatty() else _columns()
    folded = parts if plain else [_folded(p, width) if isinstance(p, str) else p for p in parts]
    echo(text_of(folded, width, styled=not plain))


def text_of(parts: Sequence[Part], width: int = _WIDTH, *, styled: bool = False) -> str:
    """Return texts and tables as they are printed: texts as they are, tables ``width`` wide."""
    return "\n\n".join(p if isinstance(p, str) else _drawn(p, width, styled) for p in parts)


def folded_heading(heading: str, cells: Sequence[str]) -> list[str]:
    """Return the lines of a column's heading, no wider than its cells or its longest word."""
    lines = [line for cell in cells for line in cell.split("\n")]
    width = max(map(cell_len, [*lines, *heading.split(" ")]))
    return textwrap.wrap(heading, width, break_long_words=False, break_on_hyphens=False) or [""]


def _columns() -> int:
    given = os.environ.get("COLUMNS", "")
    return int(given) if given.isdecimal() and int(given) else _WIDTH


def _folded(text: str, width: int) -> str:
    """Return a text whose lines are folded at spaces; a path or an address stays whole."""
    return "\n".join(
        textwrap.fill(
            line,
            width,
            subsequent_indent=" " * (len(line) - len(line.lstrip()) + 2),
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in text.split("\n")
    )


def _drawn(table: Table, width: int, styled: bool) -> str:
    grid = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    cells = [row for row in table.rows if len(row) == len(table.headings)]
    least = -2  # of the gap behind the last column
    for number, (heading, kind) in enumerate(zip(table.headings, table.align, strict=True)):
        own, folds = [row[number] for row in cells], kind == "f"
        lines = [heading] if folds else folded_heading(heading, own)
        grid.add_column(
            Text("\n".join(lines)),  # of a Text, unlike a str, brackets are no markup
            justify="right" if kind == "r" else "left",
            no_wrap=not folds,
            overflow="fold",
        )
        longest = max(cell_len(line) for text in [*own, *lines] for line in text.split("\n"))
        least += 2 + (min(longest, _NARROWEST) if folds else longest)
    for row in table.rows:
        title = len(row) < len(table.headings)
        if title:
            grid.add_section()
        grid.add_row(*map(Text, row), style="bold" if title else None)
    console = Console(
        file=io.StringIO(),
        force_terminal=styled,
        color_system="standard" if styled else None,
        width=max(width, least),
        highlight=False,
    )
    with console.capture() as drawn:
        console.print(grid)
    return "\n".join(line.rstrip() for line in drawn.get().splitlines())
