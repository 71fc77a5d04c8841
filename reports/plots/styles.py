"""The style of an attack in every figure of a report: its colour, marker, fill and dashes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from hashattack.benchmark.names import REFERENCE
from hashattack.reports.names import Names
from hashattack.reports.pictures import INK, PAPER, QUIET
from hashattack.reports.plots.theme import HUES, fitted

Fill = Literal["full", "none", "left", "right", "top", "bottom"]

_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<", ">", "p", "h", "d", "8")
_FILLS: tuple[Fill, ...] = ("full", "none", "left", "top", "right", "bottom")
_DASHES: tuple[tuple[float, ...], ...] = ((), (4, 1), (1, 1), (3, 1, 1, 1), (6, 2), (2, 3))
_LONG = 20  # characters of a label up to which it stands in figures as it is


@dataclass(frozen=True)
class AttackStyle:
    """The style of a line or a marker; settings of an attack share its colour and marker."""

    colour: str
    marker: str
    fill: Fill
    dashes: tuple[float, ...]

    @property
    def points(self) -> dict[str, Any]:
        """The arguments of matplotlib for a marker."""
        return {
            **{"color": self.colour, "marker": self.marker, "fillstyle": self.fill},
            **{"markerfacecoloralt": PAPER, "markeredgewidth": 1.1},
        }

    @property
    def pattern(self) -> dict[str, Any]:
        """The arguments of matplotlib for a line's dashes."""
        return {"linestyle": (0, self.dashes) if self.dashes else "-"}

    @property
    def line(self) -> dict[str, Any]:
        """The arguments of matplotlib for a line."""
        return {"color": self.colour, **self.pattern}


class PlotStyles:
    """One style and one short name for each setting of an attack, by its label.

    Rows without an attack are grey and the bound is black; attacks have hues for colour-blind
    readers.

    Attributes:
        by_label: the styles.
        short: the names that stand in figures for long labels.
        settings: what the short names stand for.
        colours: by title.
    """

    def __init__(self, rows: pd.DataFrame, names: Names) -> None:
        self.by_label: dict[str, AttackStyle] = {}
        self.colours: dict[str, str] = {}
        self.short: dict[str, str] = {}
        self.settings: dict[str, str] = {}
        columns = ["attack", "title", "role", "budget_class", "variant", "overrides", "params"]
        hues = itertools.cycle(HUES)
        for number, (_, attack) in enumerate(rows[columns].groupby("attack", sort=False)):
            first = attack.iloc[0]
            grey, bound = first["budget_class"] == REFERENCE, first["role"] == "bound"
            colour = QUIET if grey else INK if bound else next(hues)
            marker, own = _MARKERS[number % len(_MARKERS)], 0
            for name in map(names.of, attack.drop_duplicates().to_dict("records")):
                self.colours[name.title] = colour
                if name.label in self.by_label:
                    continue
                more = 2 * (grey and first["role"] != "no-attack") + number // len(HUES)
                dashes = _DASHES[(own + more) % len(_DASHES)]
                self.by_label[name.label] = AttackStyle(
                    colour, marker, _FILLS[own % len(_FILLS)], dashes
                )
                if len(name.label) > _LONG and name.settings and name.label != name.title:
                    self.short[name.label] = f"{name.title} {_letters(own)}"
                    self.settings[self.short[name.label]] = name.settings
                own += 1

    def name(self, label: str) -> str:
        """Return what stands in figures for a label."""
        return fitted(self.short.get(label, label))

    def settings_of(self, names: Iterable[str]) -> list[tuple[str, str]]:
        """Return the short ones of some names, with what they stand for."""
        shown = set(names)
        return [pair for pair in self.settings.items() if pair[0] in shown]


def _letters(number: int) -> str:
    """Return a, b, …, z, ba, bb, …."""
    first, last = divmod(number, 26)
    return (_letters(first) if first else "") + chr(ord("a") + last)
