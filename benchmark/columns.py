"""The columns of ``results.csv``, declared once in ``columns.yaml`` for all reports and ``check``.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Literal

import yaml
from pydantic import TypeAdapter

Kind = Literal[
    "cell",  # what was run: data, attack, hashers, seeds, protocol
    "status",  # what became of it
    "draw",  # of target labels
    "retrieval",  # metrics of the ranking
    "distortion",  # metrics of the images, also of a row without a result
    "cost",  # passes and seconds
    "compute",  # batch, threads, precision, device
]
Goal = Literal["targeted", "non-targeted"]  # what an attack is measured for
Better = Literal["higher", "lower"] | None  # for an attacker
Table = Literal[  # where a report shows it
    "summary",  # the leaderboard of a terminal and of a paper, which are narrow
    "leaderboard",
    "cells",  # the page's table of all cells
    "figures",  # t-MAP drawn against it
]
MISSING = "\N{EN DASH}"  # what tables show of a number that is not there


@dataclass(frozen=True)
class Column:
    """A column of ``results.csv``. Fractions lie in [0, 1]; what does not apply is empty.

    Attributes:
        name: its name in files and options.
        dtype: its pandas type.
        kind: what it is about.
        title: what tables and sentences call it.
        unit: stands behind the title in a heading; empty where there is none.
        scale: what a value is multiplied by in tables.
        format: the format specification of a scaled value.
        least: a smaller scaled value is shown as ``< least``.
        better: which values are better for an attacker; None where neither.
        mean: how the values of several seeds or hashers become one.
        tables: where it is shown.
        ranks: the goal whose attacks are ranked by it.
        chance: of such a column, the column of its value when all codes are equal.
        min_effect: the smallest loss that counts in ``check`` by default, a fraction; None where
            it cannot be checked. The stage that measures it stores each query's value by its name.
        help: what a reader must know to read it.
    """

    name: str
    dtype: Literal["string", "Int64", "float64", "boolean"] = "string"
    kind: Kind = "cell"
    title: str = ""
    unit: str = ""
    scale: float = 1.0
    format: str = ""
    least: float | None = None
    better: Better = None
    mean: Literal["mean", "max"] = "mean"
    tables: tuple[Table, ...] = ()
    ranks: Goal | None = None
    chance: str = ""
    min_effect: float | None = None
    help: str = ""

    @property
    def heading(self) -> str:
        """The title with its unit, like ``MAP (%)``."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def sign(self) -> int:
        """+1 where higher is better, -1 where lower is."""
        return -1 if self.better == "lower" else 1

    def text(self, value: float | None) -> str:
        """Return a value as tables show it, scaled; a dash for None."""
        if value is None:
            return MISSING
        scaled = self.scale * value
        if self.least is not None and scaled < self.least:
            return f"< {self.least:g}"
        return f"{scaled:{self.format}}"


def _declared() -> tuple[Column, ...]:
    text = resources.files("hashattack.benchmark").joinpath("columns.yaml").read_text("utf-8")
    return TypeAdapter(tuple[Column, ...]).validate_python(yaml.safe_load(text)["columns"])


COLUMNS: Mapping[str, Column] = {column.name: column for column in _declared()}
RANKED_BY: Mapping[str, str] = {
    column.ranks: name for name, column in COLUMNS.items() if column.ranks
}
DTYPES = {name: column.dtype for name, column in COLUMNS.items()}
CHECKED = {
    name: column.min_effect for name, column in COLUMNS.items() if column.min_effect is not None
}


def names_of(*kinds: Kind) -> tuple[str, ...]:
    """Return the names of the columns of some kinds."""
    return tuple(name for name, column in COLUMNS.items() if column.kind in kinds)
