"""Candidates that are there already: another run's folder, or what ``score`` made of other code."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hashattack.benchmark.names import nearest
from hashattack.benchmark.regression.baseline import Baseline, BaselineError
from hashattack.benchmark.regression.comparison import Pair
from hashattack.benchmark.regression.question import Question
from hashattack.benchmark.regression.sameness import refuse, row_differences, trial_differences
from hashattack.benchmark.regression.trials import Trials, place_of, read_trials


def stored_pairs(question: Question, baseline: Baseline, folder: Path) -> dict[str, list[Pair]]:
    """Return a folder's cells of each candidate, each with its reference.

    Raises:
        NoRunError: the folder holds no run.
        BaselineError: it lacks a candidate or one of its cells, or is of other trials.
    """
    there = list(read_trials(folder, [question.metric]))
    found: dict[str, list[Pair]] = {}
    for attack in _named(question.attacks, there, folder):
        itself = question.is_itself(attack)
        own = {
            _spot(one, itself=itself): one
            for one in reversed(there)  # the first of several settings
            if one.row["attack"] == attack
        }
        pairs = []
        for reference in baseline.of(question.against or attack, question.only):
            candidate = own.get(_spot(reference, itself=itself))
            if candidate is None:
                raise BaselineError(
                    f"{folder} has no {attack} on {reference.name}, seeds {reference.seeds}: make "
                    "it there, or leave it out with --only"
                )
            pairs.append(Pair(candidate, reference))
        found[attack] = pairs
    refuse(baseline, [line for pairs in found.values() for line in _differences(pairs, question)])
    return found


def _named(texts: Sequence[str], there: Sequence[Trials], folder: Path) -> list[str]:
    known = list(dict.fromkeys(one.row["attack"] for one in there))
    found: dict[str, None] = {}
    for text in texts:
        matching = fnmatch.filter(known, text)
        if not matching:
            raise BaselineError(f"--attack {text}: {folder} has none{nearest(text, known)}")
        found.update(dict.fromkeys(matching))
    return list(found)


def _spot(one: Trials, *, itself: bool) -> tuple[Any, ...]:
    """Return what a candidate's cell and its reference have in common, but for the data's content.

    Of an attack and itself the settings, too.
    """
    return *place_of(one.row), one.row["variant"] if itself else ""


def _differences(pairs: Sequence[Pair], question: Question) -> list[str]:
    found: list[str] = []
    for pair in pairs:
        ours, theirs = pair.candidate.row, pair.reference.row
        found += row_differences(ours, theirs, same=question.is_itself(ours["attack"]))
        if not question.retrained:
            found += trial_differences(pair)
    return found
