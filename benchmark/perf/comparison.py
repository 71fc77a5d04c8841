"""Two ways to do the same work, timed in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Kind = Literal["speed-up", "overhead"]
Size = Literal["full", "small"]
ROUNDS: dict[Size, int] = {"full": 3, "small": 2}


@dataclass(frozen=True)
class Comparison:
    """Seconds per unit of work in the program's way and in another, round by round."""

    name: str
    ours: str
    other: str
    unit: str
    kind: Kind  # a speed-up is other / ours, an overhead ours / other
    ours_seconds: tuple[float, ...]
    other_seconds: tuple[float, ...]
    wanted: float | None = None  # the least speed-up, or the greatest overhead
    facts: Mapping[str, float] = field(default_factory=dict)  # further measurements

    @property
    def ratios(self) -> list[float]:
        """The ratio of each round."""
        pairs = zip(self.ours_seconds, self.other_seconds, strict=True)
        return [b / a if self.kind == "speed-up" else a / b for a, b in pairs]

    @property
    def ratio(self) -> float:
        """The median over rounds."""
        return statistics.median(self.ratios)

    @property
    def outcome(self) -> str:
        """What is aimed at, and whether it is missed."""
        if self.wanted is None:
            return ""
        least = self.kind == "speed-up"
        reached = self.ratio >= self.wanted if least else self.ratio <= self.wanted
        aim = f"at {'least' if least else 'most'} {self.wanted:g}"
        return aim if reached else f"{aim}: MISSED"

    def as_row(self) -> list[str]:
        """Return the row of a table: name, ratio and its spread, aim, seconds, facts."""
        ours, other = map(statistics.median, (self.ours_seconds, self.other_seconds))
        return [
            self.name,
            f"{self.ratio:.3g}",
            f"{min(self.ratios):.3g} to {max(self.ratios):.3g}",
            self.outcome,
            f"{ours:.3g} / {other:.3g} s per {self.unit}",
            ", ".join(f"{name} {value:.3g}" for name, value in self.facts.items()),
        ]

    def as_json(self) -> dict[str, Any]:
        """Return everything, the ratio and its spread included."""
        spread = [min(self.ratios), max(self.ratios)]
        return {**asdict(self), "ratio": self.ratio, "spread": spread, "outcome": self.outcome}


@dataclass(frozen=True)
class Way:
    """A way to do the work: what it is, the function, and the units of work in a call."""

    description: str
    run: Callable[[], object]
    units: float


def compare(
    name: str,
    ours: Way,
    other: Way,
    rounds: int,
    unit: str,
    kind: Kind,
    wanted: float | None = None,
) -> Comparison:
    """Time two ways in turns, after one call of each untimed; see :class:`Comparison`."""
    ways = (ours, other)
    seconds: tuple[list[float], list[float]] = ([], [])
    for way in ways:
        way.run()
    for number in range(rounds):
        for place in (0, 1) if number % 2 == 0 else (1, 0):  # neither always comes second
            began = time.perf_counter()
            ways[place].run()
            seconds[place].append((time.perf_counter() - began) / ways[place].units)
    texts = name, ours.description, other.description, unit
    return Comparison(*texts, kind, tuple(seconds[0]), tuple(seconds[1]), wanted)
