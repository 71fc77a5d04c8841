"""Two ways to do the same, timed in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["speed-up", "overhead"]


@dataclass(frozen=True)
class Comparison:
    """The seconds a unit of work takes in the program's way and in another, round by round.

    Attributes:
        name: of what is compared.
        ours, other: what the two ways are.
        unit: the work that the seconds are of.
        kind: a ``speed-up`` is other / ours, an ``overhead`` ours / other.
        wanted: the least speed-up, or the most overhead, that is aimed at.
        facts: what else was measured on the way.
    """

    name: str
    ours: str
    other: str
    unit: str
    kind: Kind
    ours_seconds: tuple[float, ...]
    other_seconds: tuple[float, ...]
    wanted: float | None = None
    facts: Mapping[str, float] = field(default_factory=dict)

    @property
    def ratios(self) -> list[float]:
        """The ratio of each round."""
        pairs = zip(self.ours_seconds, self.other_seconds, strict=True)
        if self.kind == "speed-up":
            return [other / ours for ours, other in pairs]
        return [ours / other for ours, other in pairs]

    @property
    def ratio(self) -> float:
        """The median over rounds."""
        return statistics.median(self.ratios)

    @property
    def verdict(self) -> str:
        """How it stands to what is wanted."""
        if self.wanted is None:
            return ""
        if self.kind == "speed-up":
            reached, bar = self.ratio >= self.wanted, f"at least {self.wanted:g}"
        else:
            reached, bar = self.ratio <= self.wanted, f"at most {self.wanted:g}"
        return bar if reached else f"{bar}: MISSED"

    def as_row(self) -> list[str]:
        """Return the row of a table: name, ratio and its spread, what is wanted, seconds, facts."""
        ours, other = (
            statistics.median(seconds) for seconds in (self.ours_seconds, self.other_seconds)
        )
        return [
            self.name,
            f"{self.ratio:.3g}",
            f"{min(self.ratios):.3g} to {max(self.ratios):.3g}",
            self.verdict,
            f"{ours:.3g} / {other:.3g} s a {self.unit}",
            ", ".join(f"{name} {value:.3g}" for name, value in self.facts.items()),
        ]

    def as_json(self) -> dict[str, Any]:
        """Return everything, the ratio and its spread included."""
        return {
            **{name: getattr(self, name) for name in self.__dataclass_fields__},
            "facts": dict(self.facts),
            "ratio": self.ratio,
            "spread": [min(self.ratios), max(self.ratios)],
            "verdict": self.verdict,
        }


def in_turns(
    rounds: int, ours: Callable[[], object], other: Callable[[], object]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the seconds of each call, ours and other in turns, after one call of each untimed."""
    ways = (ours, other)
    taken: tuple[list[float], list[float]] = ([], [])
    for way in ways:
        way()
    for number in range(rounds):
        for place in (0, 1) if number % 2 == 0 else (1, 0):  # neither always comes second
            began = time.perf_counter()
            ways[place]()
            taken[place].append(time.perf_counter() - began)
    return tuple(taken[0]), tuple(taken[1])


def per(units: float, seconds: tuple[float, ...]) -> tuple[float, ...]:
    """Return the seconds a unit."""
    return tuple(one / units for one in seconds)
