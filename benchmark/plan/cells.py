"""The cells of a suite on one data set: what a row says before anything ran, and its jobs."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from hashattack.attacks.base import Attack, Crafting
from hashattack.attacks.protocols import PROTOCOLS
from hashattack.benchmark.jobs import Job
from hashattack.benchmark.plan.graph import JobGraph, Setting, Target
from hashattack.benchmark.registry import registry
from hashattack.benchmark.store.keys import canonical_json
from hashattack.benchmark.suites.parameters import hyper_parameters, override
from hashattack.benchmark.suites.suite import AttackEntry, Suite
from hashattack.targets.hasher import TargetSpec


@dataclass(frozen=True)
class Cell:
    """A row of the result table: what it is, and the jobs whose records fill it."""

    row: Mapping[str, Any]
    jobs: Mapping[str, Job]  # by stage: craft, hash, score; gallery for people
    skipped: str | None = None


def settings_of(suite: Suite) -> Iterator[Setting]:
    """Yield what a suite's attacks are compared under: protocols × policies × seeds."""
    for protocol, policy, target_seed, seed in product(
        suite.protocols, suite.policies, suite.target_seeds, range(suite.seeds)
    ):
        yield Setting(PROTOCOLS[protocol], policy, target_seed, seed, seed + suite.reseed)


def cells_of(graph: JobGraph, targets: Sequence[Target]) -> Iterator[Cell]:
    """Yield the cells of one data set: settings × attacks × (source, victim)."""
    suite = graph.suite
    for setting in settings_of(suite):
        for number, entry in enumerate(suite.attacks):
            published = registry().attacks[entry.attack].build(setting.protocol)
            base = override(published, _known(published, graph.dataset.published), "published")
            changes = {**_shared(suite, entry, published), **entry.params}
            attack = override(base, changes, f"attacks[{number}].params")
            for source, victim in _pairs(suite, entry, attack, targets):
                row = describe(graph, setting, attack, source, victim)
                row |= {"overrides": _listed(changes), "variant": _listed(entry.params)}
                if (reason := obstacle(attack, source, victim)) is not None:
                    yield Cell(row, {}, reason)
                else:
                    craft = graph.craft(setting, attack, source)
                    yield Cell(row, graph.chain(setting, craft, attack, source, victim))


def obstacle(attack: Attack, source: Target, victim: Target) -> str | None:
    """Return why a cell cannot be run, or None."""
    if attack.code_only and source.spec.bits != victim.spec.bits:
        return f"a {source.spec.bits}-bit code cannot query a {victim.spec.bits}-bit database"
    return attack.unavailable


def _pairs(
    suite: Suite, entry: AttackEntry, attack: Attack, targets: Sequence[Target]
) -> Iterator[tuple[Target, Target]]:
    """Yield source and victim. An attack that aims at no code transfers nothing."""
    for source in targets:
        if not any(fnmatch.fnmatchcase(source.spec.name, glob) for glob in entry.sources):
            continue
        for victim in targets:
            itself = victim is source
            wanted = any(fnmatch.fnmatchcase(victim.spec.name, glob) for glob in suite.victims)
            if (itself and "self" in suite.victims) or (wanted and (itself or attack.targeted)):
                yield source, victim


def describe(
    graph: JobGraph, setting: Setting, attack: Attack, source: Target, victim: Target
) -> dict[str, Any]:
    """Return the columns of a row that are known before anything ran."""
    compute = graph.compute(source.spec.backbone if attack.needs_source else None)
    return {
        "attack": attack.id,
        "title": attack.title,
        "role": attack.role,
        "targeted": attack.targeted,
        "code_only": attack.code_only,
        "learns": attack.learns,
        "params": canonical_json(hyper_parameters(attack)),
        "budget_class": _budget_class(attack),
        "epsilon": attack.epsilon,
        "passes_per_image": _declared_passes(attack),
        "dataset": graph.data.name,
        "dataset_fingerprint": graph.data.fingerprint,
        **_hasher("source", source.spec),
        **_hasher("victim", victim.spec),
        "policy": setting.policy,
        "target_seed": setting.target_seed,
        "draw_seed": setting.seed,
        "attack_seed": setting.attack_seed,
        "protocol": setting.protocol.name,
        "n_queries": graph.n_queries,
        "batch": compute.batch,
        "threads": compute.threads,
        "dtype": compute.dtype,
        "precision": compute.precision,
        "compiled": compute.compiled,
    }


def _hasher(side: str, spec: TargetSpec) -> dict[str, Any]:
    """Return the columns that say which hasher is the source or the victim."""
    return {
        side: spec.name,
        f"{side}_method": spec.method.name,
        f"{side}_backbone": spec.backbone.name,
        f"{side}_bits": spec.bits,
    }


def _known(attack: Attack, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return those hyper-parameters that this attack has."""
    known = hyper_parameters(attack)
    return {name: value for name, value in params.items() if name in known}


def _shared(suite: Suite, entry: AttackEntry, attack: Attack) -> dict[str, Any]:
    """Return the hyper-parameters the suite sets for more than one entry."""
    matching = [
        params
        for glob, params in suite.attack_params.items()
        if fnmatch.fnmatchcase(entry.attack, glob)
    ]
    merged = {name: value for params in [*matching, suite.params] for name, value in params.items()}
    return _known(attack, merged)


def _listed(params: Mapping[str, Any]) -> str:
    """Return hyper-parameters as a column has them, like ``steps=10, rule=l2``."""
    return ", ".join(f"{name}={value}" for name, value in params.items())


def _declared_passes(attack: Attack) -> int | None:
    """Return what an image costs in forward passes of the hasher; None where nobody says so.

    Of a crafting that leaves :attr:`Crafting.passes` as it is, the estimate's guess is no claim.
    """
    crafting = attack.crafting
    if crafting is None or type(crafting).passes is Crafting.passes:
        return None
    return crafting.passes


def _budget_class(attack: Attack) -> str:
    """Return what a row is ranked among: rows are compared at equal budget only."""
    if attack.code_only:
        return "code"
    if not attack.targeted:
        return "reference"
    return "unbounded" if attack.epsilon is None else f"{round(255 * attack.epsilon, 3):g}/255"
