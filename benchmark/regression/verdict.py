"""The verdict on a candidate: an exit code and a sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from hashattack.benchmark.columns import COLUMNS
from hashattack.benchmark.regression.comparison import Comparison, Pair

_SHOWN = 5e-6  # a smaller fraction is nothing
_LONGEST = 30  # characters of a setting
_PACE = 2.0  # times another attack's time that a sentence tells; less is noise


class Outcome(IntEnum):
    """What a check finds; the values are its exit codes."""

    HELD = 0  # a loss that counts is ruled out
    WORSE = 1
    MISSING = 3  # cells without a result
    UNDECIDED = 4

    @property
    def gravity(self) -> int:
        """What goes before what, where there are several."""
        return [Outcome.HELD, Outcome.UNDECIDED, Outcome.MISSING, Outcome.WORSE].index(self)


@dataclass(frozen=True)
class Demands:
    """What a candidate is held to.

    Attributes:
        min_effect: the smallest loss that counts, a fraction.
        alpha: the level at which cells are tested together.
        max_slowdown: how many times the reference's seconds it may take; None for any.
    """

    min_effect: float = 0.02
    alpha: float = 0.05
    max_slowdown: float | None = None


@dataclass(frozen=True)
class Verdict:
    """A comparison judged; ``hints`` say what the trials look like when something is wrong."""

    comparison: Comparison
    outcome: Outcome
    sentence: str
    hints: Sequence[str] = ()


def judge(
    comparison: Comparison, demands: Demands, hints: Callable[[Comparison], Sequence[str]]
) -> Verdict:
    """Return the verdict on a comparison whose p-values are adjusted.

    Args:
        comparison: what is judged.
        demands: what the candidate is held to.
        hints: says what a bad comparison looks like.
    """
    outcome, told = _judged(comparison, demands)
    notes = [*_unlike(comparison), *_blind_cells(comparison, demands.alpha)]
    held = outcome is Outcome.HELD
    return Verdict(comparison, outcome, told, notes if held else [*hints(comparison), *notes])


def _judged(one: Comparison, demands: Demands) -> tuple[Outcome, str]:
    broken = [(pair, why) for pair in one.pairs if (why := pair.broken()) is not None]
    if broken:
        pair, why = broken[0]
        where = f"{pair.candidate.name}, seeds {pair.candidate.seeds}"
        told = f"{one.attack} breaks its promise on {_of(broken, one.pairs)}: {why} ({where})"
        return Outcome.WORSE, told
    missing = [(pair, why) for pair in one.pairs if (why := _absence(pair)) is not None]
    if missing or not one.cells:
        why = missing[0][1] if missing else "there are none"
        return Outcome.MISSING, f"{one.attack}: {_of(missing, one.pairs)} have no result: {why}"
    figures = f"{_difference(one)} over {_counted(len(one.cells), 'cell')}{_pace(one)}"
    against = "its baseline" if one.attack == one.against else one.against
    if one.high < -demands.min_effect:
        return Outcome.WORSE, f"{one.attack} is worse than {against}: {figures}"
    losses = [cell for cell in one.cells if cell.is_loss(demands.min_effect, demands.alpha)]
    if losses:
        worst = min(losses, key=lambda cell: cell.difference)
        told = (
            f"{one.attack} is worse than {against} on {_of(losses, one.cells)}: "
            f"{points(worst.difference)} points on {worst.pair.candidate.name}, seeds "
            f"{worst.pair.candidate.seeds} (p {worst.p:.2g} after Holm); {figures}"
        )
        return Outcome.WORSE, told
    codes = all(pair.candidate.row["budget_class"] == "code" for pair in one.pairs)
    slowdown, allowed = one.slowdown, None if codes else demands.max_slowdown  # they take none
    if slowdown is not None and allowed is not None and slowdown > allowed:
        told = f"{one.attack} takes {slowdown:.2f} times {against}'s time; {allowed:g} are allowed"
        return Outcome.WORSE, told
    if slowdown is None and allowed is not None:
        told = (
            f"{one.attack}: its time cannot be compared with {against}'s, which another machine, "
            f"device or batch took, or a file does not keep; {figures}"
        )
        return Outcome.UNDECIDED, told
    same = one.low == one.high == 0
    if one.low > -demands.min_effect or same:
        if one.low > 0:
            return Outcome.HELD, f"{one.attack} is better than {against}: {figures}"
        loss = f"a loss of {points(demands.min_effect, sign='')} points is ruled out"
        told = f"scores as {against} on every query" if same else f"is not worse than {against}"
        return Outcome.HELD, f"{one.attack} {told}: {figures}; {loss}"
    told = (
        f"{one.attack} may be worse than {against} or not: {figures}; the interval does not rule "
        f"out a loss of {points(demands.min_effect, sign='')} points: take more queries, seeds or "
        "targets"
    )
    return Outcome.UNDECIDED, told


def points(value: float, sign: str = "+") -> str:
    """Return a fraction in points of a hundred, like ``-1.3``."""
    return f"{100 * value:{sign}.3g}" if abs(value) >= _SHOWN else "0"


def metric_name(metric: str) -> str:
    """Return what a metric is called in sentences."""
    return COLUMNS[metric].title


def _difference(one: Comparison) -> str:
    better = "" if COLUMNS[one.metric].sign > 0 else " (less is better; + is better)"
    ends = f"[{points(one.low)}, {points(one.high)}]"
    return f"{metric_name(one.metric)} {points(one.difference)} points {ends}{better}"


def _pace(one: Comparison) -> str:
    """Say where two attacks are not compared at equal compute."""
    alike = one.attack == one.against and not any(pair.unlike for pair in one.pairs)
    if alike or one.slowdown is None or 1 / _PACE < one.slowdown < _PACE:
        return ""
    return f", in {one.slowdown:.3g} times the time"


def _unlike(one: Comparison) -> Iterator[str]:
    """Say which settings of two attacks are not alike."""
    against = "its baseline" if one.attack == one.against else one.against
    found = {name: values for pair in one.pairs for name, values in pair.unlike.items()}
    if found:
        told = ", ".join(
            f"{name} {_short(ours)} (not {_short(theirs)})"
            for name, (ours, theirs) in found.items()
        )
        yield f"{one.attack} is not set like {against}: {told}"


def _short(value: Any) -> str:
    told = f"{value:.4g}" if isinstance(value, float) else str(value)
    return told if len(told) <= _LONGEST else f"{told[:_LONGEST]}…"


def _absence(pair: Pair) -> str | None:
    """Return why a pair has no result, or None where it has."""
    for side, told in ((pair.candidate, ""), (pair.reference, "the baseline's ")):
        if not side.scores:
            row = side.row
            reason = row.get("reason") or row["status"]
            if row["status"] == "ok":
                reason = "it has not this score a query (codes have no distortion), or NaN in it"
            return f"{told}{side.name}, seeds {side.seeds}: {reason}"
    return None


def _blind_cells(one: Comparison, alpha: float) -> Iterator[str]:
    """Say where a cell's own test could find nothing, however large a loss."""
    # Of G signs there are 2^G assignments, of which two are as extreme as can be.
    least = math.log2(2 * one.family / alpha)
    blind = [cell for cell in one.cells if not one.retrained and cell.labels < least]
    if blind:
        yield (
            f"{_of(blind, one.cells)} have too few target labels for a test of their own "
            f"({blind[0].labels}; {math.ceil(least)} are needed): only the whole is judged"
        )


def _of(some: Sequence[Any], all_: Sequence[Any]) -> str:
    return f"{len(some)} of {_counted(len(all_), 'cell')}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
