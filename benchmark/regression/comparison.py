"""A candidate attack against a reference: paired by query, tested by cell, judged over all cells.

Queries that share a target label share its target code, so that they are no independent witnesses
of an attack's luck: signs are flipped, and queries resampled, by target label.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hashattack.benchmark.columns import COLUMNS
from hashattack.benchmark.regression.trials import FloatArray, IntArray, Trials
from hashattack.benchmark.statistics import (
    RESAMPLES,
    crossed_interval,
    holm,
    interval,
    p_value,
    unpaired_interval,
)

_RESAMPLES_A_CELL = 20  # over alpha / cells, so that Holm's smallest level is well resolved
_SAME = 1e-9
_Trainings = dict[str, list[float]]  # the means of their cells, by SHA-256


@dataclass(frozen=True)
class Pair:
    """A cell of the candidate and the cell of the reference it is held against."""

    candidate: Trials
    reference: Trials

    @property
    def judged(self) -> bool:
        """Whether both have a result."""
        return bool(self.candidate.scores) and bool(self.reference.scores)

    @property
    def slowdown(self) -> float | None:
        """The candidate's seconds an image over the reference's, where they are comparable."""
        ours, theirs = self.candidate, self.reference
        how = ("device", "batch", "threads", "precision")
        alike = all(ours.row.get(name) == theirs.row.get(name) for name in how)
        here = ours.host and ours.host == theirs.host and alike
        took, usual = (one.row.get("seconds_per_image") for one in (ours, theirs))
        return float(took / usual) if here and took and usual else None

    @property
    def unlike(self) -> dict[str, tuple[Any, Any]]:
        """Hyper-parameters that both have and that differ, the candidate's value first."""
        ours, theirs = self.candidate.settings, self.reference.settings
        both = [name for name in ours if name in theirs]
        return {name: (ours[name], theirs[name]) for name in both if ours[name] != theirs[name]}

    def differences(self, metric: str) -> FloatArray:
        """Return candidate minus reference ``[q]``, positive where the candidate is better."""
        ours, theirs = self.candidate.scores[metric], self.reference.scores[metric]
        return COLUMNS[metric].sign * (ours - theirs)

    def broken(self) -> str | None:
        """Return how the candidate breaks its budget or another promise, if it does."""
        ours, theirs = self.candidate.row, self.reference.row
        if ours["status"] == "invalid":
            return str(ours["reason"])
        if theirs["budget_class"] == "reference":
            return None  # Original and Noise are no rivals
        if ours["budget_class"] == "code" != theirs["budget_class"]:
            return "it queries with a code, which no image need have"
        allowed, taken = theirs.get("epsilon"), ours.get("epsilon")
        if allowed is None or (taken is not None and taken <= allowed + _SAME):
            return None
        declared = "no budget" if taken is None else f"a budget of {255 * taken:.4g}/255"
        return f"it declares {declared} where the reference has {255 * allowed:.4g}/255"


@dataclass(frozen=True)
class CellResult:
    """What a pair says; fractions, positive where the candidate is better."""

    pair: Pair
    reference: float
    candidate: float
    difference: float
    low: float  # ends of the 95 % interval of the difference
    high: float
    p: float  # adjusted by Holm's method; NaN where nothing is tested

    def is_loss(self, min_effect: float, alpha: float) -> bool:
        """Whether a test finds the candidate worse, and its interval by an effect that counts."""
        return self.p <= alpha and self.high < -min_effect

    @property
    def labels(self) -> int:
        """How many target labels its queries have, whose signs are flipped."""
        return len(np.unique(self.pair.candidate.labels))


@dataclass(frozen=True)
class Comparison:
    """A candidate against its reference over all cells."""

    attack: str
    against: str
    metric: str
    pairs: Sequence[Pair]
    cells: Sequence[CellResult]  # those with results
    difference: float  # over all cells
    low: float
    high: float
    family: int  # cells tested together, of all attacks
    retrained: bool = False

    @property
    def slowdown(self) -> float | None:
        """The median slowdown of the cells, where any is comparable."""
        known = [pair.slowdown for pair in self.pairs if pair.slowdown is not None]
        return float(np.median(known)) if known else None


def compare(
    attack: str,
    against: str,
    pairs: Sequence[Pair],
    *,
    metric: str,
    alpha: float,
    family: int,
    retrained: bool = False,
) -> Comparison:
    """Compare a candidate with a reference; p-values are not adjusted yet.

    Args:
        attack: the candidate's id.
        against: the reference's.
        pairs: of one attack.
        metric: one of ``PER_QUERY``.
        alpha: the level all cells are tested at together.
        family: how many cells are tested together, of all attacks.
        retrained: the two sides' targets are other trainings, so that queries are no pairs.
    """
    judged = [pair for pair in pairs if pair.judged]
    resamples = max(RESAMPLES, math.ceil(_RESAMPLES_A_CELL * family / alpha))
    cells = [_cell(pair, metric, resamples, paired=not retrained) for pair in judged]
    difference, low, high = math.nan, math.nan, math.nan
    if cells:
        difference, low, high = _unpaired(judged, metric) if retrained else _overall(cells, metric)
    return Comparison(
        attack, against, metric, pairs, cells, difference, low, high, family, retrained
    )


def _cell(pair: Pair, metric: str, resamples: int, *, paired: bool) -> CellResult:
    reference, candidate = (
        float(side.scores[metric].mean()) for side in (pair.reference, pair.candidate)
    )
    if not paired:
        difference = COLUMNS[metric].sign * (candidate - reference)
        return CellResult(pair, reference, candidate, difference, -1.0, 1.0, math.nan)
    values, labels = pair.differences(metric), pair.candidate.labels
    low, high = interval(values, clusters=labels, widest=(-1.0, 1.0))
    p = p_value(values, clusters=labels, resamples=resamples)
    return CellResult(pair, reference, candidate, float(values.mean()), low, high, p)


def _overall(cells: Sequence[CellResult], metric: str) -> tuple[float, float, float]:
    """Return the mean over all cells and its interval; targets, seeds, queries are clusters."""
    targets: dict[object, int] = {}
    seeds: dict[object, int] = {}
    spots: dict[tuple[int, int], list[tuple[FloatArray, IntArray]]] = {}
    for cell in cells:
        row = cell.pair.candidate.row
        data = row["dataset_fingerprint"]
        target = (data, row["source"], row["target_seed"])
        seed = (data, row["protocol"], row["policy"], row["draw_seed"])
        spot = targets.setdefault(target, len(targets)), seeds.setdefault(seed, len(seeds))
        pair = cell.pair
        spots.setdefault(spot, []).append((pair.differences(metric), pair.candidate.labels))
    if len(spots) == 1 and len(cells) == 1:
        return cells[0].difference, cells[0].low, cells[0].high  # only queries to resample
    longest = max(len(values) for listed in spots.values() for values, _ in listed)
    whole = np.full((len(targets), len(seeds), longest), np.nan)
    labels = np.zeros((len(seeds), longest), dtype=np.int64)
    numbered = [0] * len(seeds)
    for (line, column), listed in spots.items():
        stacked = np.full((len(listed), longest), np.nan)
        for number, (values, own) in enumerate(listed):
            stacked[number, : len(values)] = values
            # A longer draw extends a shorter one, and numbers label rows its own way.
            if len(own) > numbered[column]:
                labels[column, : len(own)] = own
                numbered[column] = len(own)
        there = ~np.isnan(stacked).all(axis=0)
        # The mean of victims, and of settings of one attack.
        whole[line, column, there] = np.nanmean(stacked[:, there], axis=0)
    return float(np.nanmean(whole)), *crossed_interval(whole, labels)


def _unpaired(pairs: Sequence[Pair], metric: str) -> tuple[float, float, float]:
    """Return the same where the two sides' targets are other trainings.

    Each training is a cluster; of several targets, each is one with the mean of its trainings, so
    that what tells one target from another is no luck.
    """
    found: dict[tuple[str, str], tuple[_Trainings, _Trainings]] = {}
    for pair in pairs:
        target = (pair.candidate.row["dataset_fingerprint"], pair.candidate.row["source"])
        for side, trials in enumerate((pair.candidate, pair.reference)):
            trainings = found.setdefault(target, ({}, {}))[side]
            trainings.setdefault(trials.source, []).append(float(trials.scores[metric].mean()))
    sign = COLUMNS[metric].sign
    sides = [
        [sign * np.array([np.mean(each) for each in trainings.values()]) for trainings in both]
        for both in found.values()
    ]
    if len(sides) == 1:
        ours, theirs = sides[0]
        return float(ours.mean() - theirs.mean()), *unpaired_interval(ours, theirs)
    differences = np.array([ours.mean() - theirs.mean() for ours, theirs in sides])
    return float(differences.mean()), *interval(differences, widest=(-1.0, 1.0))


def adjusted(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Return the comparisons with p-values adjusted by Holm's method over all their cells."""
    listed = [cell.p for one in comparisons for cell in one.cells]
    known = iter(holm(np.array(listed)).tolist())
    return [
        one
        if one.retrained
        else replace(one, cells=[replace(cell, p=next(known)) for cell in one.cells])
        for one in comparisons
    ]
