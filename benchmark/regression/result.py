"""The result of a check: an outcome, which is the exit code, and a sentence."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from hashattack.benchmark.columns import CHECKED, COLUMNS
from hashattack.benchmark.names import counted
from hashattack.benchmark.regression.comparison import CellResult, Comparison, Pair
from hashattack.benchmark.statistics import p_text

_ZERO = 5e-6  # a smaller fraction is shown as 0
_LONGEST = 30  # characters of a setting
_NOTABLE = 2.0  # times the reference's time that a sentence mentions; less is noise


class Outcome(IntEnum):
    """What a check finds; the values are its exit codes."""

    HELD = 0  # a loss that counts is ruled out
    WORSE = 1
    MISSING = 3  # cells without a result
    UNDECIDED = 4


_BY_GRAVITY = (Outcome.HELD, Outcome.UNDECIDED, Outcome.MISSING, Outcome.WORSE)


@dataclass(frozen=True)
class Thresholds:
    """What decides about a candidate.

    Attributes:
        min_effect: the smallest loss that counts, a fraction; None for the metric's own.
        alpha: the level at which cells are tested together.
        max_slowdown: how many times the reference's seconds it may take; None for any.
    """

    min_effect: float | None = None
    alpha: float = 0.05
    max_slowdown: float | None = None

    def least(self, metric: str) -> float:
        """Return the smallest loss that counts in a metric."""
        return CHECKED[metric] if self.min_effect is None else self.min_effect


@dataclass(frozen=True)
class CheckResult:
    """A comparison and what follows from it."""

    comparison: Comparison
    outcome: Outcome
    sentence: str
    hints: Sequence[str] = ()


def judge(one: Comparison, thresholds: Thresholds) -> CheckResult:
    """Return the result for a comparison: an outcome, a sentence, and what else is to be known."""
    return CheckResult(one, *_decide(one, thresholds), list(_hints(one, thresholds.alpha)))


def cell_outcome(
    pair: Pair, cell: CellResult | None, thresholds: Thresholds
) -> tuple[Outcome, str]:
    """Return what a cell says by itself, with the reason or the figures; None without a result.

    One that its own test does not call worse is held: only all cells together decide more.
    """
    if (why := pair.violation()) is not None:
        return Outcome.WORSE, why
    if (why := _absence(pair)) is not None or cell is None:
        return Outcome.MISSING, str(why)
    figures = f"{points(cell.difference)} points [{points(cell.low)}, {points(cell.high)}]"
    if not math.isnan(cell.p):
        figures = f"{figures}, {_corrected(cell)}"
    return Outcome.WORSE if _lost(cell, thresholds) else Outcome.HELD, figures


def worst(results: Sequence[CheckResult]) -> Outcome:
    """Return the gravest outcome."""
    return max((one.outcome for one in results), key=_BY_GRAVITY.index)


def points(value: float, sign: str = "+") -> str:
    """Return a fraction in percentage points, like ``-1.3``."""
    return f"{100 * value:{sign}.3g}" if abs(value) >= _ZERO else "0"


def _decide(one: Comparison, thresholds: Thresholds) -> tuple[Outcome, str]:
    violations = [(pair, why) for pair in one.pairs if (why := pair.violation()) is not None]
    if violations:
        share, (pair, why) = _share(violations, one.pairs), violations[0]
        return Outcome.WORSE, f"{one.attack} is invalid on {share}: {why} ({pair.candidate.where})"
    missing = [why for pair in one.pairs if (why := _absence(pair)) is not None]
    if missing:
        share = _share(missing, one.pairs)
        return Outcome.MISSING, f"{one.attack}: {share} have no result: {missing[0]}"
    min_effect = thresholds.least(one.metric)
    figures = f"{_difference(one)} over {counted(len(one.cells), 'cell')}{_times(one)}"
    worse = f"{one.attack} is worse than {one.reference_name}"
    if one.high < -min_effect:
        return Outcome.WORSE, f"{worse}: {figures}"
    losses = [cell for cell in one.cells if _lost(cell, thresholds)]
    if losses:
        cell = min(losses, key=lambda cell: cell.difference)
        loss = f"{points(cell.difference)} points on {cell.pair.candidate.where}"
        share = _share(losses, one.cells)
        return Outcome.WORSE, f"{worse} on {share}: {loss} ({_corrected(cell)}); {figures}"
    slowdown, allowed = one.slowdown, thresholds.max_slowdown
    if allowed is not None and not all(pair.candidate.row["code_only"] for pair in one.pairs):
        if slowdown is None:
            return Outcome.UNDECIDED, (
                f"{one.attack}: its time cannot be compared with {one.reference_name}'s, which was "
                "measured on another machine, device or batch, or is not kept by a file; "
                f"{figures}"
            )
        if slowdown > allowed:
            return Outcome.WORSE, (
                f"{one.attack} takes {slowdown:.2f} times {one.reference_name}'s time; "
                f"{allowed:g} are allowed"
            )
    limit = f"a loss of {points(min_effect, sign='')} points"
    if one.low == one.high == 0:
        same = f"{one.attack} scores as {one.reference_name} on every query"
        return Outcome.HELD, f"{same}: {figures}; {limit} is ruled out"
    if one.low <= -min_effect:
        return Outcome.UNDECIDED, (
            f"{one.attack} may be worse than {one.reference_name} or not: {figures}; the interval "
            f"does not rule out {limit}: take more queries, seeds or target hashers"
        )
    if one.low > 0:
        return Outcome.HELD, f"{one.attack} is better than {one.reference_name}: {figures}"
    kept = f"{one.attack} is not worse than {one.reference_name}"
    return Outcome.HELD, f"{kept}: {figures}; {limit} is ruled out"


def _lost(cell: CellResult, thresholds: Thresholds) -> bool:
    """Return whether the test of a cell by itself finds a loss that counts."""
    return cell.p <= thresholds.alpha and cell.high < -thresholds.least(cell.metric)


def _corrected(cell: CellResult) -> str:
    """Return the p-value of a cell, which its interval alone may seem to contradict."""
    return f"p {p_text(cell.p)} after Holm"


def _difference(one: Comparison) -> str:
    column = COLUMNS[one.metric]
    better = "" if column.sign > 0 else " (lower is better, + means better)"
    ends = f"[{points(one.low)}, {points(one.high)}]"
    return f"{column.title} {points(one.difference)} points {ends}{better}"


def _times(one: Comparison) -> str:
    """Return how many times the time it takes, where two attacks differ much in compute."""
    alike = one.attack == one.against and not any(pair.differing_settings for pair in one.pairs)
    if alike or one.slowdown is None or 1 / _NOTABLE < one.slowdown < _NOTABLE:
        return ""
    return f", in {one.slowdown:.3g} times the time"


def _passes(one: Comparison) -> str | None:
    """Return how many times the reference's passes it takes; None where as many, or unknown."""
    if one.passes is None or one.passes[0] == one.passes[1]:
        return None
    ours, theirs = (COLUMNS["passes_per_image"].text(number) for number in one.passes)
    reference, ratio = one.reference_name, one.passes_ratio
    if ratio is None:
        return f"{one.attack} takes {ours} passes per image, {reference} none"
    numbers = f"{ours}, {reference} {theirs}"
    return f"{one.attack} takes {ratio:.3g} times the passes per image of {reference} ({numbers})"


def _absence(pair: Pair) -> str | None:
    """Return why a pair has no result, or None where it has."""
    for side, owner in ((pair.candidate, ""), (pair.reference, "the baseline's ")):
        if not side.scores:
            reason = side.row.get("reason") or side.row["status"]
            if side.row["status"] == "ok":
                reason = (
                    "it lacks this metric (codes have no distortion, non-targeted attacks no "
                    "t-MAP), or has NaN in it"
                )
            return f"{owner}{side.where}: {reason}"
    return None


def _hints(one: Comparison, alpha: float) -> Iterator[str]:
    """Yield how settings and passes differ, and which cells' own tests could find no loss."""
    found = {name: both for pair in one.pairs for name, both in pair.differing_settings.items()}
    if found:
        listed = [f"{name} {_short(a)} (not {_short(b)})" for name, (a, b) in found.items()]
        yield f"{one.attack} differs from {one.reference_name} in {', '.join(listed)}"
    if (passes := _passes(one)) is not None:
        yield passes
    # G signs have 2^G assignments, of which two are as extreme as can be.
    least = math.ceil(math.log2(2 * one.family / alpha))
    labels = [len(set(cell.pair.candidate.labels)) for cell in one.cells if not one.retrained]
    few = [number for number in labels if number < least]
    labelled = "target labels" if one.goal == "targeted" else "labels"
    if few:
        yield (
            f"{_share(few, labels)} have too few {labelled} for a test of their own "
            f"({few[0]}; {least} are needed): only the whole is tested"
        )


def _short(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _share(some: Sequence[Any], all_: Sequence[Any]) -> str:
    return f"{len(some)} of {counted(len(all_), 'cell')}"
