"""The candidate's side of a check: what is to be crafted, and on exactly which trials."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from attacks.protocols import PROTOCOLS
from benchmark.adoption import PREPARED, adopt
from benchmark.cells import Cell
from benchmark.graph import Sizing
from benchmark.names import lookup, nearest
from benchmark.parameters import hyper_parameters
from benchmark.plan import Plan, make_plan, needed
from benchmark.registry import registry
from benchmark.regression.baseline import Baseline, BaselineError
from benchmark.regression.comparison import Pair
from benchmark.regression.sameness import (
    protocol_differences,
    refuse,
    row_differences,
    trial_differences,
)
from benchmark.regression.trials import METRICS, Trials, read_trials
from benchmark.suite import AttackEntry, Params, Suite
from benchmark.suite_sources import SuiteError

Run = Callable[[Plan, Plan], object]  # of the whole plan, and what of it is to be done


@dataclass(frozen=True)
class Question:
    """What is asked of a baseline.

    Attributes:
        attacks: ids of candidates, or globs of the baseline's.
        against: the reference's id; None: the candidate's own.
        metric: what is compared.
        only: filters of the reference's cells.
        reseed: added to the attacks' own seeds.
        retrained: the targets may be other trainings.
    """

    attacks: Sequence[str]
    against: str | None = None
    metric: str = "t_map"
    only: Sequence[str] = ()
    reseed: int = 0
    retrained: bool = False

    def named(self, baseline: Baseline) -> list[str]:
        """Return the candidates' ids.

        Raises:
            UnknownNameError: there is no such attack.
            BaselineError: a glob that no attack of the baseline matches.
        """
        found: dict[str, None] = {}
        for text in self.attacks:
            if not set(text) & set("*?["):
                lookup("attack", text, registry().attacks)
                found[text] = None
                continue
            matching = fnmatch.filter(baseline.attacks, text)
            if not matching:
                known = nearest(text, baseline.attacks)
                raise BaselineError(f"--attack {text} matches no attack of {baseline.path}{known}")
            found |= dict.fromkeys(matching)
        return list(found)


def references(question: Question, baseline: Baseline) -> dict[str, list[Trials]]:
    """Return the reference cells of each candidate."""
    return {
        attack: baseline.of(question.against or attack, question.only)
        for attack in question.named(baseline)
    }


def candidate_plan(
    question: Question,
    baseline: Baseline,
    wanted: Mapping[str, Sequence[Trials]],
    cache: Path,
    sizing: Sizing | None,
) -> Plan:
    """Return the plan of the candidates' cells, one for each cell of their references.

    Raises:
        SuiteError: the suite of the baseline does not make such cells any more.
        BaselineError: data or protocol are not the baseline's.
    """
    suite = _changed(baseline.suite, question, list(wanted))
    whole = make_plan(suite, cache, sizing)
    there = {_place(cell.row, question): cell for cell in whole.cells}
    cells: dict[int, Cell] = {}
    found: list[str] = []
    for attack, listed in wanted.items():
        for one in listed:
            cell = there.get(_place({**one.row, "attack": attack}, question))
            if cell is None:
                raise SuiteError(
                    f"{baseline.path}: its suite makes no cell of {attack} on {one.name}"
                )
            found += row_differences(cell.row, one.row)
            cells[id(cell)] = cell
    refuse(baseline, [*protocol_differences(baseline), *found])
    kept = list(cells.values())
    return replace(whole, cells=kept, jobs=needed(kept, whole.jobs))


def _changed(suite: Suite, question: Question, attacks: Sequence[str]) -> Suite:
    """Return the baseline's suite with the candidates for its attacks, and nothing for people."""
    parts = []
    for part in suite.parts or [suite]:
        entries: list[AttackEntry] = []
        for attack in attacks:
            own = [entry for entry in part.attacks if entry.attack == attack]
            asked = question.against in (None, attack)
            entries += own if asked else [AttackEntry(attack=attack)]
        changes = {"gallery": 0, "tables": [], "reseed": question.reseed, "parts": []}
        if entries:
            shared = {"params": _known(part, entries), "attack_params": _meant(part, entries)}
            parts.append(part.model_copy(update={"attacks": entries, **shared, **changes}))
    if not parts:
        raise SuiteError(f"the baseline's suite has no entry for {', '.join(attacks)}")
    return parts[0].model_copy(update={"name": f"check-{suite.name}", "parts": parts})


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


def _place(row: Mapping[str, Any], question: Question) -> tuple[Any, ...]:
    """Return what a candidate's cell and its reference have in common."""
    names = ("attack", "dataset", "source", "victim", "policy", "target_seed", "draw_seed")
    protocol = str(row["protocol"]).removesuffix("+overrides")
    same = question.against in (None, row["attack"])  # settings are compared with themselves
    return (*(row[name] for name in names), protocol, row["variant"] if same else "")


def prepare(
    question: Question,
    baseline: Baseline,
    wanted: Mapping[str, Sequence[Trials]],
    plan: Plan,
    out: Path,
    run: Run,
) -> None:
    """Have the targets, codes and draws of the baseline in the folder, before anything is crafted.

    Raises:
        BaselineError: they are not the baseline's; every difference is named.
    """
    if baseline.folder is not None and not question.retrained:
        adopt(plan.jobs.values(), baseline.folder, out)
    prepared = {key: job for key, job in plan.jobs.items() if job.ref.stage in PREPARED}
    run(plan, replace(plan, jobs=prepared))
    if not question.retrained:
        made = pairs(question, wanted, out)
        refuse(
            baseline,
            [line for each in made.values() for pair in each for line in trial_differences(pair)],
        )


def pairs(
    question: Question, wanted: Mapping[str, Sequence[Trials]], out: Path
) -> dict[str, list[Pair]]:
    """Return the candidates' cells in the folder, each with its reference."""
    made = {
        _place(one.row, question): one
        for one in read_trials(out, {question.metric: METRICS[question.metric]})
    }
    return {
        attack: [Pair(made[_place({**one.row, "attack": attack}, question)], one) for one in listed]
        for attack, listed in wanted.items()
    }
