"""Filters of cells, as ``--only`` takes them."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any

from hashattack.benchmark.columns import COLUMNS
from hashattack.benchmark.names import nearest
from hashattack.benchmark.suites.sources import SuiteError


def parse_filter(text: str) -> dict[str, str]:
    """Return the globs by column of a filter like ``attack=dhta,source=DPSH-*-32``.

    Raises:
        SuiteError: not of that form, or no such column.
    """
    wanted: dict[str, str] = {}
    for part in text.split(","):
        name, equals, glob = (piece.strip() for piece in part.partition("="))
        if not equals or not glob:
            raise SuiteError(f"--only {text}: expected column=glob, got '{part}'")
        if name not in COLUMNS:
            raise SuiteError(f"--only {text}: no column '{name}'{nearest(name, COLUMNS)}")
        wanted[name] = glob
    return wanted


def admits(row: Mapping[str, Any], filters: Sequence[Mapping[str, str]]) -> bool:
    """Return whether a row matches one of some parsed filters; none let everything through."""
    return not filters or any(matches(row, wanted) for wanted in filters)


def matches(row: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    """Return whether a row matches every glob."""
    return all(fnmatch.fnmatchcase(str(row.get(name, "")), glob) for name, glob in wanted.items())
