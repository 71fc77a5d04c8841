"""Candidates against references: paired by query, tested by cell, estimated over all cells.

Queries with the same target label share its target code, so they are not independent: a cell's test
and its interval, which agree, resample target labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from hashattack.benchmark.columns import COLUMNS, RANKED_BY
from hashattack.benchmark.names import REFERENCE
from hashattack.benchmark.regression.trials import Trials
from hashattack.benchmark.statistics import (
    LEAST_P,
    RESAMPLES,
    FloatArray,
    crossed_interval,
    estimate,
    holm,
    student_interval,
    unpaired_interval,
)

_RESAMPLES_PER_CELL = 20  # over alpha, so that Holm's smallest level is well resolved
_SAME = 1e-9  # of two budgets
_COMPUTE = ("device", "batch", "threads", "precision")  # what times depend on
_Trainings = dict[str, list[float]]  # the means of their cells, by SHA-256


@dataclass(frozen=True)
class Pair:
    """A cell of the candidate and the cell of the reference it is compared with."""

    candidate: Trials
    reference: Trials

    @property
    def goal(self) -> str:
        """What both are measured for."""
        return self.reference.goal

    @property
    def has_result(self) -> bool:
        """Whether both sides have scores."""
        return bool(self.candidate.scores and self.reference.scores)

    @property
    def slowdown(self) -> float | None:
        """The candidate's seconds per image over the reference's; None if not comparable."""
        ours, theirs = self.candidate, self.reference
        took, usual = (side.row.get("seconds_per_image") for side in (ours, theirs))
        alike = all(ours.row.get(name) == theirs.row.get(name) for name in _COMPUTE)
        here = alike and ours.host and ours.host == theirs.host
        return float(took / usual) if here and took and usual else None

    @property
    def passes(self) -> tuple[float, float] | None:
        """The counted passes per image of candidate and reference; None where one has none."""
        ours, theirs = (
            side.row.get("passes_per_image") for side in (self.candidate, self.reference)
        )
        return None if ours is None or theirs is None else (float(ours), float(theirs))

    @property
    def differing_settings(self) -> dict[str, tuple[Any, Any]]:
        """Hyper-parameters that both have and that differ, the candidate's value first."""
        ours, theirs = self.candidate.settings, self.reference.settings
        both = [name for name in ours if name in theirs]
        return {name: (ours[name], theirs[name]) for name in both if ours[name] != theirs[name]}

    def differences(self, metric: str) -> FloatArray:
        """Return candidate minus reference ``[q]``, positive where the candidate is better."""
        ours, theirs = self.candidate.scores[metric], self.reference.scores[metric]
        return np.subtract(ours, theirs) * COLUMNS[metric].sign

    def violation(self) -> str | None:
        """Return why the candidate is invalid, or not at the reference's budget; None if it is."""
        ours, theirs = self.candidate.row, self.reference.row
        if ours["status"] == "invalid":
            return str(ours["reason"])
        if theirs["budget_class"] == REFERENCE:
            return None  # clean queries and noise have no budget to compare with
        if ours["code_only"] and not theirs["code_only"]:
            return "it queries with a code, which may belong to no image"
        if ours.get("sees_query_labels") and not theirs.get("sees_query_labels"):
            return "it sees the queries' own labels, which the reference does not"
        allowed, taken = theirs.get("epsilon"), ours.get("epsilon")
        if allowed is None or (taken is not None and taken <= allowed + _SAME):
            return None
        declared = "no budget" if taken is None else f"a budget of {255 * taken:.4g}/255"
        return f"it declares {declared}, the reference {255 * allowed:.4g}/255"


@dataclass(frozen=True)
class CellResult:
    """The difference in one cell; fractions, positive where the candidate is better."""

    pair: Pair
    metric: str
    reference: float  # mean scores
    candidate: float
    difference: float
    low: float  # ends of the 95 % interval of the difference, not adjusted for other cells
    high: float
    p: float  # adjusted by Holm's method; NaN where nothing is tested


@dataclass(frozen=True)
class Comparison:
    """A candidate against its reference over all cells."""

    attack: str
    against: str
    goal: str
    metric: str
    pairs: Sequence[Pair]
    cells: Sequence[CellResult]  # those with results
    difference: float  # over all cells
    low: float
    high: float
    family: int  # cells tested together, of all attacks
    retrained: bool

    @property
    def reference_name(self) -> str:
        """What sentences call the reference."""
        return "its baseline" if self.attack == self.against else self.against

    @property
    def passes(self) -> tuple[float, float] | None:
        """The mean passes per image of candidate and reference over the cells that have both."""
        known = [pair.passes for pair in self.pairs if pair.passes is not None]
        if not known:
            return None
        ours, theirs = np.mean(known, axis=0)
        return float(ours), float(theirs)

    @property
    def passes_ratio(self) -> float | None:
        """The candidate's passes over the reference's; None where unknown or over zero."""
        return self.passes[0] / self.passes[1] if self.passes and self.passes[1] else None

    @property
    def slowdown(self) -> float | None:
        """The median slowdown of the cells where it is known."""
        known = [pair.slowdown for pair in self.pairs if pair.slowdown is not None]
        return float(np.median(known)) if known else None


def compare(
    pairs: Sequence[Pair],
    *,
    metric: str | None = None,
    alpha: float = 0.05,
    retrained: bool = False,
) -> list[Comparison]:
    """Compare each candidate with its reference.

    Args:
        pairs: the cells of all candidates, which are tested together.
        metric: a checkable column; None for the one that ranks a goal.
        alpha: the level of all cells' tests together.
        retrained: the two sides' targets are different trainings, so queries are not paired.
    """
    per_cell = max(1 / LEAST_P, _RESAMPLES_PER_CELL / alpha)
    resamples = max(RESAMPLES, math.ceil(per_cell * len(pairs)))
    cells = [
        _cell(pair, metric or RANKED_BY[pair.goal], resamples, paired=not retrained)
        for pair in pairs
        if pair.has_result
    ]
    if not retrained:
        adjusted = holm([cell.p for cell in cells])
        cells = [replace(cell, p=p) for cell, p in zip(cells, adjusted, strict=True)]
    overall = _over_trainings if retrained else _over_cells
    found: list[Comparison] = []
    for attack, goal in dict.fromkeys((pair.candidate.attack, pair.goal) for pair in pairs):
        own = [pair for pair in pairs if (pair.candidate.attack, pair.goal) == (attack, goal)]
        results = [cell for cell in cells if any(cell.pair is pair for pair in own)]
        measured = metric or RANKED_BY[goal]
        difference, low, high = overall(results, measured) if results else [math.nan] * 3
        comparison = Comparison(
            attack=attack,
            against=own[0].reference.attack,
            goal=goal,
            metric=measured,
            pairs=own,
            cells=results,
            difference=difference,
            low=low,
            high=high,
            family=len(pairs),
            retrained=retrained,
        )
        found.append(comparison)
    return found


def _cell(pair: Pair, metric: str, resamples: int, *, paired: bool) -> CellResult:
    reference, candidate = (
        float(np.mean(side.scores[metric])) for side in (pair.reference, pair.candidate)
    )
    if not paired:
        difference = COLUMNS[metric].sign * (candidate - reference)
        return CellResult(pair, metric, reference, candidate, difference, -1.0, 1.0, math.nan)
    values, labels = pair.differences(metric), np.array(pair.candidate.labels)
    found = estimate(values, clusters=labels, resamples=resamples)
    ends = found.low, found.high, found.p
    return CellResult(pair, metric, reference, candidate, found.mean, *ends)


def _over_cells(cells: Sequence[CellResult], metric: str) -> tuple[float, float, float]:
    """Return the mean over all cells and its interval; targets, seeds, queries are clusters."""
    if len(cells) == 1:
        return cells[0].difference, cells[0].low, cells[0].high  # only queries to resample
    targets: dict[object, int] = {}
    seeds: dict[object, int] = {}
    labels: dict[int, list[int]] = {}
    tables = []
    for cell in cells:
        one = cell.pair.candidate
        data = one.row["dataset_fingerprint"]
        target = (data, one.row["source"], one.row["target_seed"])
        seed = (data, one.row["protocol"], one.row["policy"], one.row["draw_seed"])
        number = seeds.setdefault(seed, len(seeds))
        # A longer draw extends a shorter one, and numbers label rows its own way.
        labels[number] = max(labels.get(number, []), one.labels, key=len)
        table = pd.DataFrame({"difference": cell.pair.differences(metric)})
        place = {"target": targets.setdefault(target, len(targets)), "seed": number}
        tables.append(table.rename_axis("query").reset_index().assign(**place))
    # The mean of victims, and of settings of one attack.
    means = pd.concat(tables).groupby(["target", "seed", "query"])["difference"].mean()
    factors = means.index.to_frame(index=False)
    places = zip(factors["seed"], factors["query"], strict=True)
    own = np.array([(seed, labels[seed][query]) for seed, query in places])
    factors["label"] = np.unique(own, axis=0, return_inverse=True)[1]
    names = ["target", "seed", "label", *(["query"] if len(seeds) > 1 else [])]
    values = means.to_numpy()
    ends = crossed_interval(values, [factors[name].to_numpy() for name in names])
    return float(values.mean()), *ends


def _over_trainings(cells: Sequence[CellResult], metric: str) -> tuple[float, float, float]:
    """Return the same where the two sides' targets are different trainings.

    Each training is a cluster; of several targets, each is one, with the mean of its trainings, so
    that differences between targets do not count as chance.
    """
    found: dict[tuple[str, str], tuple[_Trainings, _Trainings]] = {}
    for cell in cells:
        ours, theirs = cell.pair.candidate, cell.pair.reference
        target = (ours.row["dataset_fingerprint"], ours.row["source"])
        candidates, references = found.setdefault(target, ({}, {}))
        candidates.setdefault(ours.source, []).append(cell.candidate)
        references.setdefault(theirs.source, []).append(cell.reference)
    sign = COLUMNS[metric].sign
    sides = [
        [sign * np.array([np.mean(values) for values in trainings.values()]) for trainings in both]
        for both in found.values()
    ]
    differences = np.array([ours.mean() - theirs.mean() for ours, theirs in sides])
    if len(sides) == 1:
        return float(differences[0]), *unpaired_interval(*sides[0])
    return float(differences.mean()), *student_interval(differences)
