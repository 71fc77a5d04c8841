"""The candidate's side of a check: what is to be crafted, and on exactly which trials."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from hashattack.attacks.protocols import PROTOCOLS
from hashattack.benchmark.pipeline import PREPARING
from hashattack.benchmark.plan.cells import Cell
from hashattack.benchmark.plan.plan import Plan, make_plan, needed
from hashattack.benchmark.registry import registry
from hashattack.benchmark.regression.baseline import Baseline, BaselineError
from hashattack.benchmark.regression.comparison import Pair
from hashattack.benchmark.regression.question import Question
from hashattack.benchmark.regression.sameness import (
    protocol_differences,
    refuse,
    row_differences,
)
from hashattack.benchmark.regression.trials import Trials, place_of, read_trials
from hashattack.benchmark.results.adoption import adopt
from hashattack.benchmark.results.manifest import manifest_of
from hashattack.benchmark.suites.parameters import hyper_parameters
from hashattack.benchmark.suites.sources import SuiteError
from hashattack.benchmark.suites.suite import AttackEntry, Params, Suite, TargetEntry

CHECKS = "check-"  # how the suite of a check's folder begins, before its baseline's name
Run = Callable[[Plan, Plan], object]  # of the whole plan, and what of it is to be done


@dataclass(frozen=True)
class Candidates:
    """What is to be crafted.

    Attributes:
        plan: the candidates' cells and their jobs.
        chosen: for each candidate its cells, by their places in the plan, as its references stand.
    """

    plan: Plan
    chosen: Mapping[str, Sequence[int]]

    def trials(self, metric: str, out: Path) -> list[Trials]:
        """Return what a folder holds of the plan's cells, in their order."""
        return list(read_trials(out, [metric], manifest_of(self.plan)))


def candidates(
    question: Question,
    baseline: Baseline,
    wanted: Mapping[str, Sequence[Trials]],
    cache: Path,
) -> Candidates:
    """Plan a cell of the candidates for each cell of their references.

    Raises:
        SuiteError: the suite of the baseline does not make such cells any more.
        BaselineError: data or protocol are not the baseline's.
    """
    whole = make_plan(_changed(baseline.suite, question, wanted), cache, baseline.sizing)
    exact = {(_place(cell.row), _setting(cell.row, question)): cell for cell in whole.cells}
    near = {_place(cell.row): cell for cell in whole.cells}
    kept: list[Cell] = []
    places: dict[int, int] = {}  # in that list, of the cells by identity
    chosen: dict[str, list[int]] = {attack: [] for attack in wanted}
    listed = [one for each in wanted.values() for one in each]
    found = list(protocol_differences(baseline, listed))
    for attack, each in wanted.items():
        for one in each:
            row = {**one.row, "attack": attack}
            # Where there is no such cell, the nearest one tells what differs.
            cell = exact.get((_place(row), _setting(row, question))) or near.get(_place(row))
            if cell is None:
                raise SuiteError(f"the suite of {baseline.path} has no {attack} on {one.name}")
            found += row_differences(cell.row, one.row, same=question.is_itself(attack))
            if places.setdefault(id(cell), len(kept)) == len(kept):
                kept.append(cell)
            chosen[attack].append(places[id(cell)])
    refuse(baseline, found)
    return Candidates(replace(whole, cells=kept, jobs=needed(kept, whole.jobs)), chosen)


def _changed(suite: Suite, question: Question, wanted: Mapping[str, Sequence[Trials]]) -> Suite:
    """Return the baseline's suite with the candidates for its attacks, and nothing for people."""
    listed = [one for each in wanted.values() for one in each]
    parts = []
    for part in suite.parts or [suite]:
        entries: list[AttackEntry] = []
        for attack in wanted:
            reference = question.against or attack
            own = [entry for entry in part.attacks if entry.attack == reference]
            if question.is_itself(attack):
                entries += own
            elif own:
                kept = own[0].params if reference == attack else {}
                entries.append(AttackEntry(attack=attack, params={**kept, **question.params}))
        targets = _needed_targets(part, listed)
        if entries and targets:
            seeds = {one.row["target_seed"] for one in listed}
            changes = {
                "attacks": entries,
                "targets": targets,
                "target_seeds": [seed for seed in part.target_seeds if seed in seeds],
                "params": _known(part, entries),
                "attack_params": _meant(part, entries),
                "gallery": 0,
                "tables": [],
                "reseed": part.reseed + question.reseed,
                "parts": [],
            }
            parts.append(part.model_copy(update=changes))
    if not parts:
        named = ", ".join(dict.fromkeys(question.against or attack for attack in wanted))
        raise BaselineError(
            f"{named} of the baseline was made by other code, so that its suite says nothing of "
            "its trials: take the folder that the trials are of for --baseline, and this one for "
            "--candidate"
        )
    return parts[0].model_copy(update={"name": f"{CHECKS}{suite.name}", "parts": parts})


def _needed_targets(suite: Suite, trials: Sequence[Trials]) -> list[TargetEntry]:
    """Return the suite's targets that some trials name, one an entry."""
    named = {one.row[role] for one in trials for role in ("source", "victim")}
    return [
        entry.model_copy(update={"method": [method], "backbone": [backbone], "bits": [bits]})
        for entry in suite.targets
        for method, backbone, bits in product(entry.method, entry.backbone, entry.bits)
        if f"{method}-{backbone}-{bits}" in named
    ]


def _known(suite: Suite, entries: Sequence[AttackEntry]) -> Params:
    """Return the hyper-parameters of the suite's that attacks of it have."""
    protocol = PROTOCOLS[suite.protocols[0]]
    built = [registry().attacks[entry.attack].build(protocol) for entry in entries]
    known = {name for attack in built for name in hyper_parameters(attack)}
    return {name: value for name, value in suite.params.items() if name in known}


def _meant(suite: Suite, entries: Sequence[AttackEntry]) -> dict[str, Params]:
    """Return what the suite sets by globs that match one of its attacks."""
    return {
        glob: params
        for glob, params in suite.attack_params.items()
        if fnmatch.filter([entry.attack for entry in entries], glob)
    }


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what a candidate's cell and its reference, under its name, have in common."""
    return row["attack"], *place_of(row)


def _setting(row: Mapping[str, Any], question: Question) -> tuple[Any, ...]:
    """Return what tells cells of one place apart; of an attack and itself the settings, too."""
    known = (row["dataset_fingerprint"], row["n_queries"])
    itself = question.is_itself(row["attack"])
    return (*known, row["variant"], row.get("overrides") or "") if itself else known


def prepare(question: Question, baseline: Baseline, asked: Candidates, out: Path, run: Run) -> None:
    """Have the targets, codes and draws of the baseline in the folder, before anything is crafted.

    Raises:
        BaselineError: they are not the baseline's; every difference is named.
    """
    plan = asked.plan
    if baseline.folder is not None and not question.retrained:
        adopt(plan.jobs.values(), baseline.folder, out)
    prepared = {key: job for key, job in plan.jobs.items() if job.ref.stage in PREPARING}
    run(plan, replace(plan, jobs=prepared))


def pairs(
    question: Question, wanted: Mapping[str, Sequence[Trials]], asked: Candidates, out: Path
) -> dict[str, list[Pair]]:
    """Return the candidates' cells in the folder, each with its reference."""
    made = asked.trials(question.metric, out)
    return {
        attack: [
            Pair(made[place], one) for place, one in zip(asked.chosen[attack], listed, strict=True)
        ]
        for attack, listed in wanted.items()
    }
