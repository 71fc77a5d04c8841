"""What attacks are called in a report: a title no two ids share, and settings side by side.

A hyper-parameter that one row of a report sets for itself, or that a suite sets for some rows and
not for others, is shown for every attack that has it: a reader must not see the 10 steps of one row
and miss the 2,000 of the next. What is set alike for all that have it is said once in the caption.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from hashattack.datasets.texts import one_line

_COLUMNS = ("attack", "title", "variant", "overrides", "params")
_PARAMETERS = re.compile(r"(?:^|, )(\w+)=")  # names in a text like "steps=10, rule=l2"


@dataclass(frozen=True)
class Name:
    """What a row is called.

    Attributes:
        title: the attack's, followed by its id where another id has the same.
        settings: the hyper-parameters to be seen, like ``steps=10, rule=l2``.
        label: the title, with the settings where the attack has rows with several.
    """

    title: str
    settings: str
    label: str

    @property
    def full(self) -> str:
        """The title with its settings."""
        return f"{self.title} ({self.settings})" if self.settings else self.title


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
        self._seen = list(dict.fromkeys(name for table in tables for name in _distinctive(table)))
        self._several: set[str] = set()
        for table in tables:
            settings: dict[str, set[str]] = {}
            for attack, _, variant, _, params in table:
                settings.setdefault(attack, set()).add(self._settings(variant, params))
            self._several |= {attack for attack, own in settings.items() if len(own) > 1}
        self._name = functools.cache(self._named)  # curves have many rows of few attacks

    def of(self, row: Mapping[Any, Any]) -> Name:
        """Return what a row is called."""
        return self._name(*_texts(row))

    def _named(self, attack: str, title: str, variant: str, overrides: str, params: str) -> Name:
        del overrides
        settings = self._settings(variant, params)
        title = f"{title} [{attack}]" if title in self._shared else title
        several = attack in self._several and settings
        return Name(title, settings, f"{title} ({settings})" if several else title)

    def labels(self, rows: pd.DataFrame) -> list[str]:
        """Return the label of each of some rows."""
        return [self.of(row).label for row in rows[list(_COLUMNS)].to_dict("records")]

    def common(self, rows: Iterable[Mapping[str, Any]]) -> str:
        """Return what a suite sets alike for all of some rows that have it."""
        common: dict[str, None] = {}
        for _, _, _, overrides, params in dict.fromkeys(map(_texts, rows)):
            values = parameters(params)
            for name in _PARAMETERS.findall(overrides):
                if name not in self._seen:
                    common[f"{name}={_shown(values[name])}" if name in values else name] = None
        return ", ".join(common)

    def _settings(self, variant: str, params: str) -> str:
        values = parameters(params)
        if any(name not in values for name in _PARAMETERS.findall(variant)):
            return variant
        return ", ".join(f"{name}={_shown(values[name])}" for name in self._seen if name in values)


@functools.cache
def parameters(params: str) -> dict[str, Any]:
    """Return the hyper-parameters in the column ``params``."""
    return dict(json.loads(params)) if params else {}


def _texts(row: Mapping[Any, Any]) -> tuple[str, ...]:
    values = (row.get(column) for column in _COLUMNS)
    return tuple("" if pd.isna(value) else str(value) for value in values)


def _distinctive(table: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Yield the hyper-parameters that are a row's own, or set for some rows otherwise than others.

    Args:
        table: attack, title, variant, overrides and params of its rows.
    """
    rows = list(table)
    values: dict[str, set[str]] = {}
    for *_, params in rows:
        for name, value in parameters(params).items():
            values.setdefault(name, set()).add(str(value))
    for _, _, variant, overrides, _ in rows:
        own = _PARAMETERS.findall(variant)
        for name in dict.fromkeys([*own, *_PARAMETERS.findall(overrides)]):
            if name in own or len(values.get(name, ())) > 1:
                yield name


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return one_line(str(value)).replace("$", "\\x24")  # a pair would be a formula in a figure
