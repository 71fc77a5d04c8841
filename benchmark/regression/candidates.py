"""The two sides of a check: cells of the baseline, and the candidate's cells on the same trials."""

from __future__ import annotations

import fnmatch
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from hashattack.attacks.protocols import PROTOCOLS
from hashattack.benchmark.names import lookup, nearest
from hashattack.benchmark.plan.plan import Plan, make_plan, needed
from hashattack.benchmark.registry import registry
from hashattack.benchmark.regression.baseline import Baseline, BaselineError
from hashattack.benchmark.regression.comparison import Pair
from hashattack.benchmark.regression.trials import HASHERS, Trials, read_trials
from hashattack.benchmark.results.manifest import Manifest, manifest_of
from hashattack.benchmark.results.stored_suite import sizing_of
from hashattack.benchmark.suites.loading import hyper_parameters
from hashattack.benchmark.suites.suite import AttackEntry, Params, Suite
from hashattack.datasets.draws import OWN
from hashattack.datasets.texts import TOGETHER

PREFIX = "check-"  # of the name of the suite in a check's folder, before its baseline's name
_HASH_SHOWN, _SETTING_SHOWN = 12, 60  # characters in a message


@dataclass(frozen=True)
class CheckRequest:
    """What is compared with what.

    Attributes:
        attacks: ids of candidates, or globs of the baseline's.
        against: the reference's id; None: the candidate's own.
        metric: the column that is compared; None for the one that ranks the attack.
        only: filters of the reference's cells.
        params: hyper-parameters of the candidates, in place of the baseline's.
        reseed: added to the attacks' own seeds.
        retrained: the targets may be other trainings.
    """

    attacks: Sequence[str]
    against: str | None = None
    metric: str | None = None
    only: Sequence[str] = ()
    params: Params = field(default_factory=dict)
    reseed: int = 0
    retrained: bool = False

    @property
    def metrics(self) -> list[str] | None:
        """What is read of trials, as :func:`read_trials` takes it."""
        return None if self.metric is None else [self.metric]

    def same_settings(self, attack: str) -> bool:
        """Whether a candidate is compared with itself at the same settings."""
        return self.against in (None, attack) and not self.params


def plan_candidates(request: CheckRequest, baseline: Baseline, out: Path, cache: Path) -> Plan:
    """Return the plan of a cell of the candidate for each cell of its reference.

    Raises:
        UnknownNameError: there is no such attack; one of a plug-in is named with --plugin.
        BaselineError: the baseline has no such attack, or cannot make its cells again.
    """
    plain = [text for text in request.attacks if not set(text) & set("*?[")]
    references = {}
    for attack in _matching(request.attacks, [*baseline.attacks, *plain], baseline.path):
        if attack in baseline.attacks and attack not in registry().attacks:
            raise BaselineError(
                f"{attack} of {baseline.path} is no attack of this program: name the file of its "
                "plug-in with --plugin, or the folder of its results with --candidate"
            )
        lookup("attack", attack, registry().attacks)
        references[attack] = baseline.cells_of(request.against or attack, request.only)
    suite = _suite(baseline.restored_suite(retrained=request.retrained), request, references)
    batches = {(backbone, side): batch for backbone, side, batch in baseline.batches}
    plan = make_plan(suite, cache, sizing_of(batches, str(baseline.path)))
    there = list(read_trials(out, (), manifest_of(plan)))
    pairs = pairs_of(request, baseline, there, baseline.path)
    compared = {id(pair.candidate) for pair in pairs}
    cells = [cell for cell, one in zip(plan.cells, there, strict=True) if id(one) in compared]
    return replace(plan, cells=cells, jobs=needed(cells, plan.jobs))


def pairs_of(
    request: CheckRequest, baseline: Baseline, there: Sequence[Trials], where: Path
) -> list[Pair]:
    """Return the references of the candidates, each with the candidate's cell.

    Where no cell has its data and settings the first one at the same place is taken, so that
    what differs can be named.

    Args:
        request: what is compared with what.
        baseline: has the references.
        there: the trials to find candidates in.
        where: the folder or the baseline they are of, for errors.

    Raises:
        BaselineError: a candidate or one of its cells is missing.
    """
    places: dict[tuple[Any, ...], list[Trials]] = defaultdict(list)
    for one in there:
        places[one.attack, *one.place].append(one)
    pairs = []
    for attack in _matching(request.attacks, [one.attack for one in there], where):
        columns = ["dataset_fingerprint", "n_queries"]
        columns += ["variant", "overrides"] if request.same_settings(attack) else []
        for reference in baseline.cells_of(request.against or attack, request.only):
            near = places[attack, *reference.place]
            if not near:
                goals = {one.goal for one in there if one.attack == attack}
                if goals and reference.goal not in goals:
                    raise BaselineError(
                        f"{attack} is {' and '.join(sorted(goals))} and {reference.attack} is "
                        f"{reference.goal}, which nothing measures alike: name another with "
                        "--against"
                    )
                raise BaselineError(
                    f"{where} has no {attack} on {reference.where}: make it there, or leave it "
                    "out with --only"
                )
            wanted = [reference.row.get(name, "") for name in columns]
            exact = (one for one in near if [one.row.get(name, "") for name in columns] == wanted)
            pairs.append(Pair(next(exact, near[0]), reference))
    return pairs


def refuse_differences(
    request: CheckRequest, baseline: Baseline, pairs: Sequence[Pair], manifest: Manifest
) -> None:
    """Refuse pairs that are not of the same trials; what is not there yet does not differ.

    ``manifest`` is of the candidates, with the values of their protocols.

    Raises:
        BaselineError: every difference is named.
    """
    found = [
        line
        for name in sorted({str(pair.reference.row["protocol"]) for pair in pairs})
        for line in _changed(name, baseline.protocols[name], manifest["protocols"].get(name, {}))
    ]
    found += [line for pair in pairs for line in _differences(request, pair)]
    if found:
        listed = "\n  ".join(dict.fromkeys(found))
        raise BaselineError(f"{baseline.path} is of other trials:\n  {listed}")


def _matching(globs: Sequence[str], attacks: Sequence[str], where: Path) -> list[str]:
    """Return the attacks that globs match."""
    known, found = list(dict.fromkeys(attacks)), dict[str, None]()
    for text in globs:
        matching = fnmatch.filter(known, text)
        if not matching:
            hint = nearest(text, known)
            raise BaselineError(f"--attack {text} matches no attack of {where}{hint}")
        found |= dict.fromkeys(matching)
    return list(found)


def _suite(suite: Suite, request: CheckRequest, references: dict[str, list[Trials]]) -> Suite:
    """Return the baseline's suite with the candidates for its attacks, and without galleries.

    Raises:
        BaselineError: the suite does not have the references.
    """
    rows = [reference.row for each in references.values() for reference in each]
    hashers = {name for row in rows for role in HASHERS for name in row[role].split(TOGETHER)}
    seeds = {row["target_seed"] for row in rows}
    parts = []
    for part in suite.parts or [suite]:
        entries = [entry for attack in references for entry in _entries(part, request, attack)]
        targets = [
            entry.model_copy(update={"method": [method], "backbone": [backbone], "bits": [bits]})
            for entry in part.targets
            for method, backbone, bits in product(entry.method, entry.backbone, entry.bits)
            if f"{method}-{backbone}-{bits}" in hashers
        ]
        if not (entries and targets):
            continue
        ids = [entry.attack for entry in entries]
        protocol = PROTOCOLS[part.protocols[0]]
        known = {
            name
            for id_ in ids
            for name in hyper_parameters(registry().attacks[id_].build(protocol))
        }
        changes = {
            "attacks": entries,
            "targets": targets,
            "target_seeds": [seed for seed in part.target_seeds if seed in seeds],
            # A suite may only set what its attacks have.
            "params": {name: value for name, value in part.params.items() if name in known},
            "attack_params": {
                glob: own for glob, own in part.attack_params.items() if fnmatch.filter(ids, glob)
            },
            "gallery": 0,
            "tables": [],
            "reseed": part.reseed + request.reseed,
            "parts": [],
        }
        parts.append(part.model_copy(update=changes))
    if not parts:
        named = ", ".join(request.against or attack for attack in references)
        raise BaselineError(
            f"{named} of the baseline was made by other code, so its suite does not describe these "
            "trials: name the folder the trials were exported from with --baseline, and this one "
            "with --candidate"
        )
    return parts[0].model_copy(update={"name": f"{PREFIX}{suite.name}", "parts": parts})


def _entries(suite: Suite, request: CheckRequest, attack: str) -> list[AttackEntry]:
    """Return the candidate's entries in the place of its reference's."""
    reference = request.against or attack
    own = [entry for entry in suite.attacks if entry.attack == reference]
    if request.same_settings(attack) or not own:
        return own
    kept = own[0].params if reference == attack else {}
    together = dict.fromkeys(tuple(entry.ensemble) for entry in own)
    params = {**kept, **request.params}
    return [AttackEntry(attack=attack, params=params, ensemble=list(one)) for one in together]


def _changed(protocol: str, then: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """Yield the values of a protocol that changed since the baseline."""
    for name in sorted({*then, *now}):
        if then.get(name) != now.get(name):
            yield f"protocol {protocol}: {name} was {then.get(name)!r} and is {now.get(name)!r}"


def _differences(request: CheckRequest, pair: Pair) -> Iterator[str]:
    """Yield in what the trials of a pair differ: data, settings, target labels, weights."""
    ours, theirs = pair.candidate, pair.reference
    columns = [("dataset_fingerprint", "fingerprint", _HASH_SHOWN), ("n_queries", "queries", None)]
    if request.same_settings(ours.attack):
        columns += [("overrides", "settings", _SETTING_SHOWN)]
    for column, name, shown in columns:
        then, now = (str(side.row.get(column) or "none") for side in (theirs, ours))
        if then != now:
            where = f"data set {ours.row['dataset']}, {ours.attack}"
            yield f"{where}: {name} {then[:shown]} then, {now[:shown]} now"
    if request.retrained:
        return
    if ours.draw and theirs.draw and ours.draw != theirs.draw:
        seed = ours.row["draw_seed"]
        policy = ours.row["policy"]
        drawn = f"{policy} target labels of draw seed {seed}"
        yield f"the {'own labels of the queries' if policy == OWN else drawn} are others"
    for role in HASHERS:
        then, now = (getattr(side, role)[:_HASH_SHOWN] for side in (theirs, ours))
        if then and now and then != now:
            yield (
                f"checkpoint {ours.row[role]} (training {ours.row['target_seed']}): {then} then, "
                f"{now} now; 'freeze --targets' keeps the weights, --retrained compares trainings"
            )
