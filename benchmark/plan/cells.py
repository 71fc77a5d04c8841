"""The cells of a suite: what each crosses, the columns that are known before anything ran."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from hashattack.attacks.base import Attack
from hashattack.attacks.protocols import PROTOCOLS, Protocol
from hashattack.benchmark.columns import COLUMNS
from hashattack.benchmark.jobs import Job
from hashattack.benchmark.names import REFERENCE, WITH_LABELS, counted, nearest
from hashattack.benchmark.plan.graph import Ensemble, JobGraph, Setting, Source, Target
from hashattack.benchmark.registry import registry
from hashattack.benchmark.suites.loading import hyper_parameters, override, parameters_text
from hashattack.benchmark.suites.sources import SuiteError
from hashattack.benchmark.suites.suite import AttackEntry, Suite
from hashattack.datasets.draws import OWN, Own, SuitePolicy
from hashattack.datasets.texts import TOGETHER, one_line

_UNIQUE = ("unique", "unique-disjoint")  # label rows that one image of the database may have alone


@dataclass(frozen=True)
class Cell:
    """A row of the result table: what it is, and the jobs whose records fill it."""

    row: Mapping[str, Any]
    jobs: Mapping[str, Job]  # by stage: craft, hash, score; gallery for people
    skipped: str | None = None  # the reason why it has no jobs


def policies_of(suite: Suite) -> list[SuitePolicy | Own]:
    """Return by which rules the labels of a suite's attacks are drawn.

    Non-targeted attacks have the policy ``own``. A suite of references alone has its policies.
    """
    first = PROTOCOLS[suite.protocols[0]]
    goals = {registry().attacks[entry.attack].build(first).goal for entry in suite.attacks}
    non_targeted = "non-targeted" in goals
    policies: list[SuitePolicy | Own] = []
    if "targeted" in goals or not non_targeted:
        policies += suite.policies
    if non_targeted:
        policies.append(OWN)
    return policies


def settings_of(suite: Suite, policies: Sequence[SuitePolicy | Own]) -> Iterator[Setting]:
    """Yield what attacks are compared under: protocols × policies × seeds.

    Raises:
        SuiteError: target labels that the images of an anchor code need not carry.
    """
    for protocol, policy, target_seed, seed in product(
        suite.protocols, policies, suite.target_seeds, range(suite.seeds)
    ):
        if policy in _UNIQUE and PROTOCOLS[protocol].anchor_pool == "train":
            raise SuiteError(
                f"policies: under protocol {protocol} anchor codes come from the training set, "
                f"which need not have the label rows of '{policy}'; use 'unique-train'"
            )
        yield Setting(PROTOCOLS[protocol], policy, target_seed, seed, seed + suite.reseed)


def cells_of(graph: JobGraph, targets: Sequence[Target]) -> Iterator[Cell]:
    """Yield the cells of one data set: settings × attacks × (source, victim)."""
    for setting in settings_of(graph.suite, policies_of(graph.suite)):
        for number, entry in enumerate(graph.suite.attacks):
            place = f"attacks[{number}]"
            attack, changed = _attack_of(graph, entry, setting.protocol, f"{place}.params")
            if attack.goal not in (setting.goal, "none"):
                continue
            for source, victim in _pairs(graph.suite, entry, attack, targets, place):
                row = describe(graph, setting, attack, source, victim) | changed
                reason, jobs = obstacle(attack, source, victim), dict[str, Job]()
                if reason is None:
                    craft = graph.craft(setting, attack, source)
                    jobs = graph.chain(setting, craft, attack, source, victim)
                yield Cell(row, jobs, reason)


def obstacle(attack: Attack, source: Source, victim: Target) -> str | None:
    """Return why a cell cannot be run, or None."""
    for spec in (*source.spec.members, victim.spec):
        if spec.unavailable:
            return spec.unavailable
    if attack.code_only and isinstance(source, Ensemble):
        return "a code of several hashers together queries the database of none"
    if attack.code_only and source.spec.bits != victim.spec.bits:
        return f"a {source.spec.bits}-bit code cannot query a {victim.spec.bits}-bit database"
    return attack.unavailable


def _attack_of(
    graph: JobGraph, entry: AttackEntry, protocol: Protocol, place: str
) -> tuple[Attack, dict[str, Any]]:
    """Return the attack of an entry, and the columns that say how it differs from its protocol."""
    attack = registry().attacks[entry.attack].build(protocol)
    known = hyper_parameters(attack)
    by_glob = graph.suite.attack_params.items()
    shared = [params for glob, params in by_glob if fnmatch.fnmatchcase(entry.attack, glob)]
    changes = {
        name: value
        for params in (*shared, graph.suite.params)
        for name, value in params.items()
        if name in known
    } | entry.params
    published = {k: value for k, value in graph.dataset.published.items() if k in known}
    changed = override(attack, {**published, **changes}, place)
    costs = zip(graph.costs(changed), graph.costs(attack), strict=True)
    return changed, {
        "overrides": _listed(changes),
        "variant": _listed(entry.params),
        "shortened": any(own < full for own, full in costs),
    }


def _pairs(
    suite: Suite, entry: AttackEntry, attack: Attack, targets: Sequence[Target], place: str
) -> Iterator[tuple[Source, Target]]:
    """Yield source and victim. A reference, like the unchanged query, transfers nothing.

    Raises:
        SuiteError: an ensemble without members or without victims.
    """

    def matching(globs: Sequence[str]) -> list[Target]:
        return [one for one in targets if any(fnmatch.fnmatchcase(one.spec.name, g) for g in globs)]

    victims = matching(suite.victims)
    if entry.ensemble:
        members = tuple(matching(entry.ensemble))
        outside = [victim for victim in victims if victim not in members]
        if len(members) < 2 or not outside or attack.goal == "none":
            raise SuiteError(
                f"{place}.ensemble: {attack.id} on {counted(len(members), 'hasher')} together, "
                f"{counted(len(outside), 'victim')} outside: an ensemble needs an attack, two "
                "hashers and, in victims, one that is outside it"
            )
        yield from product([Ensemble(members)], outside)
        return
    for source in matching(entry.sources):
        for victim in targets:
            itself = victim is source
            transfers = victim in victims and (itself or attack.goal != "none")
            if transfers or (itself and "self" in suite.victims):
                yield source, victim


def describe(
    graph: JobGraph, setting: Setting, attack: Attack, source: Source, victim: Target
) -> dict[str, Any]:
    """Return the columns of a row that are known before anything ran."""
    hashers: dict[str, Any] = {}
    for role, spec in (("source", source.spec), ("victim", victim.spec)):
        methods, backbones = (
            TOGETHER.join(dict.fromkeys(names))  # of an ensemble, each once
            for names in zip(*((m.method.name, m.backbone.name) for m in spec.members), strict=True)
        )
        hashers |= {role: spec.name, f"{role}_method": methods}
        hashers |= {f"{role}_backbone": backbones, f"{role}_bits": spec.bits}
    compute = graph.compute_of(source) if attack.needs_source else graph.compute()
    return {
        "attack": attack.id,
        "title": attack.title,
        "paper": attack.paper,
        "paper_url": attack.url,
        "role": attack.role,
        "goal": setting.goal,
        "sees_query_labels": attack.sees_query_labels,
        "code_only": attack.code_only,
        "learns": attack.learns,
        "params": parameters_text(attack),
        "budget_class": budget_class(attack),
        "epsilon": attack.epsilon,
        "dataset": graph.data.name,
        "dataset_fingerprint": graph.data.fingerprint,
        **hashers,
        "victim_defence": victim.spec.defence,
        "policy": setting.policy,
        "target_seed": setting.target_seed,
        "draw_seed": setting.seed,
        "attack_seed": setting.attack_seed,
        "protocol": setting.protocol.name,
        "top": setting.protocol.top,
        "n_queries": graph.n_queries,
        **dataclasses.asdict(compute),  # batch, threads, dtype, precision, compiled
    }


def budget_class(attack: Attack) -> str:
    """Return the class that a row is ranked in: rows are compared at equal budget only.

    Attacks that see the queries' own labels are compared with each other only.
    """
    if attack.goal == "none":
        return REFERENCE
    limit = "unbounded" if attack.epsilon is None else f"{255 * attack.epsilon:.6g}/255"
    budget = "code" if attack.code_only else limit
    return f"{budget}{WITH_LABELS}" if attack.sees_query_labels else budget


def _listed(params: Mapping[str, Any]) -> str:
    """Return hyper-parameters as a column has them, like ``steps=10, rule=l2``."""
    return one_line(", ".join(f"{name}={value}" for name, value in params.items()))


def row_filter(texts: Sequence[str]) -> Callable[[Mapping[str, Any]], bool]:
    """Return a function that says whether a row matches one of some filters; none match all.

    A text is like ``attack=dhta,source=DPSH-*-32``; the comma means and.

    Raises:
        SuiteError: one is not of that form, or there is no such column.
    """
    filters: list[dict[str, str]] = []
    for text in texts:
        globs: dict[str, str] = {}
        for part in text.split(","):
            name, equals, glob = (piece.strip() for piece in part.partition("="))
            if not equals or not glob:
                raise SuiteError(f"--only {text}: expected column=glob, got '{part}'")
            if name not in COLUMNS:
                raise SuiteError(f"--only {text}: no column '{name}'{nearest(name, COLUMNS)}")
            globs[name] = glob
        filters.append(globs)

    def matches(row: Mapping[str, Any]) -> bool:
        return not filters or any(
            all(fnmatch.fnmatchcase(str(row.get(name, "")), glob) for name, glob in globs.items())
            for globs in filters
        )

    return matches
