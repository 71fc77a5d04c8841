"""What attacks are called in a report: a title no two ids share, and settings side by side.

A hyper-parameter that one row of a report sets for itself, or that a suite sets for some rows and
not for others, stands beside every attack that has it: else a reader sees the 10 steps of one row
and not the 2,000 of the next. What is set alike for all that have it is told once, under the table.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

_COLUMNS = ("attack", "title", "variant", "overrides", "params")
_NAMES = re.compile(r"(?:^|, )(\w+)=")  # of the hyper-parameters in a text like "steps=10, rule=l2"


@dataclass(frozen=True)
class Name:
    """What a row is called.

    Attributes:
        title: the attack's, followed by its id where another id has the same.
        settings: the hyper-parameters to be seen, like ``steps=10, rule=l2``.
        label: the title, with the settings where the attack stands there with several.
    """

    title: str
    settings: str
    label: str


class Names:
    """The names of the attacks of a report.

    Args:
        rows: all its rows, with columns of ``results.csv``.
    """

    def __init__(self, rows: pd.DataFrame) -> None:
        known = rows[["dataset", "protocol", *_COLUMNS]].drop_duplicates()
        tables = [
            [_texts(row) for row in part[list(_COLUMNS)].to_dict("records")]
            for _, part in known.groupby(["dataset", "protocol"], sort=False, dropna=False)
        ]
        ids: dict[str, set[str]] = {}
        for table in tables:
            for attack, title, *_ in table:
                ids.setdefault(title, set()).add(attack)
        self._shared = {title for title, own in ids.items() if len(own) > 1}
        self._seen = list(dict.fromkeys(name for table in tables for name in _told_apart(table)))
        self._several: set[str] = set()
        for table in tables:
            settings: dict[str, set[str]] = {}
            for attack, _, variant, _, params in table:
                settings.setdefault(attack, set()).add(self._settings(variant, params))
            self._several |= {attack for attack, own in settings.items() if len(own) > 1}

    def of(self, row: Mapping[Any, Any]) -> Name:
        """Return what a row is called."""
        attack, title, variant, _, params = _texts(row)
        settings = self._settings(variant, params)
        title = f"{title} [{attack}]" if title in self._shared else title
        several = attack in self._several and settings
        return Name(title, settings, f"{title} ({settings})" if several else title)

    def labels(self, rows: pd.DataFrame) -> list[str]:
        """Return the label of each of some rows."""
        known: dict[tuple[Any, ...], str] = {}  # curves have many rows of few attacks
        labels = []
        for values in rows[list(_COLUMNS)].itertuples(index=False, name=None):
            if values not in known:
                known[values] = self.of(dict(zip(_COLUMNS, values, strict=True))).label
            labels.append(known[values])
        return labels

    def common(self, rows: pd.DataFrame) -> str:
        """Return what a suite sets alike for all of some rows that have it."""
        found: dict[str, None] = {}
        for row in rows[list(_COLUMNS)].drop_duplicates().to_dict("records"):
            _, _, _, overrides, params = _texts(row)
            values = _values(params)
            for name in _NAMES.findall(overrides):
                if name not in self._seen:
                    found[f"{name}={_shown(values[name])}" if name in values else name] = None
        return ", ".join(found)

    def _settings(self, variant: str, params: str) -> str:
        values = _values(params)
        if any(name not in values for name in _NAMES.findall(variant)):
            return variant
        return ", ".join(f"{name}={_shown(values[name])}" for name in self._seen if name in values)


def _texts(row: Mapping[Any, Any]) -> tuple[str, ...]:
    values = (row.get(column) for column in _COLUMNS)
    return tuple("" if pd.isna(value) else str(value) for value in values)


@functools.cache
def _values(params: str) -> dict[str, Any]:
    return dict(json.loads(params)) if params else {}


def _told_apart(table: Iterable[tuple[str, ...]]) -> Iterable[str]:
    """Yield the hyper-parameters that are a row's own, or set for some rows otherwise than others.

    Args:
        table: attack, title, variant, overrides and params of its rows.
    """
    rows = list(table)
    found: dict[str, set[str]] = {}
    for *_, params in rows:
        for name, value in _values(params).items():
            found.setdefault(name, set()).add(str(value))
    for _, _, variant, overrides, _ in rows:
        own = _NAMES.findall(variant)
        for name in dict.fromkeys([*own, *_NAMES.findall(overrides)]):
            if name in own or len(found.get(name, ())) > 1:
                yield name


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
