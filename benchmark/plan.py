"""From a suite to the graph of jobs, sharing every job that two cells have in common.

Planning computes nothing: it crosses what the suite names and derives the keys.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from attacks.base import Attack
from attacks.protocols import PROTOCOLS
from benchmark.graph import JobGraph, Setting, Target
from benchmark.jobs import Job
from benchmark.parameters import construct, hyper_parameters, override
from benchmark.records import COLUMNS, canonical_json
from benchmark.registry import nearest, registry
from benchmark.suite import AttackEntry, Suite, SuiteError
from datasets.base import RetrievalData
from targets.hasher import NAMED_WEIGHTS, TargetSpec

_CHAIN = ("craft", "hash", "score")  # the stages whose data make a row


@dataclass(frozen=True)
class Cell:
    """A row of the result table: what it is, and the jobs whose records fill it."""

    row: Mapping[str, Any]
    jobs: Mapping[str, Job]  # stage -> job, of _CHAIN
    skipped: str | None = None


@dataclass(frozen=True)
class Plan:
    """The cells of a suite and their jobs, inputs before what needs them."""

    suite: Suite
    cells: Sequence[Cell]
    jobs: Mapping[str, Job]
    data: Mapping[str, RetrievalData]  # by fingerprint


def make_plan(suite: Suite, cache: Path, only: Sequence[str] = ()) -> Plan:
    """Cross a suite into cells and jobs.

    Args:
        suite: what to cross.
        cache: where data sets are built.
        only: filters like ``attack=dhta,source=DPSH-*-32``: comma is and, several are or.

    Raises:
        SuiteError: a parameter that does not fit, or a filter that matches no cell.
    """
    keep = [_parse_filter(text) for text in only]
    _check_shared(suite)
    cells: list[Cell] = []
    jobs: dict[str, Job] = {}
    data: dict[str, RetrievalData] = {}
    targets = list(_targets(suite))
    for number, entry in enumerate(suite.datasets):
        spec = construct(
            registry().datasets[entry.dataset], entry.params, f"datasets[{number}].params"
        )
        loaded = spec.load(cache)
        data[loaded.fingerprint] = loaded
        graph = JobGraph(suite, spec, loaded, jobs)
        cells += _cells(graph, targets, keep)
    if not cells:
        raise SuiteError(
            f"--only {' --only '.join(only)} matches no cell of suite '{suite.name}'"
            if only
            else f"suite '{suite.name}' has no cells: no attack matches any target"
        )
    return Plan(suite, cells, _needed(cells, jobs), data)


def _targets(suite: Suite) -> Iterator[Target]:
    seen: set[str] = set()
    for number, entry in enumerate(suite.targets):
        place = f"targets[{number}]"
        for method, backbone, bits in product(entry.method, entry.backbone, entry.bits):
            spec = TargetSpec(
                method=construct(
                    registry().methods[method], entry.method_params, f"{place}.method_params"
                ),
                backbone=construct(
                    registry().backbones[backbone],
                    entry.backbone_params,
                    f"{place}.backbone_params",
                ),
                bits=bits,
                normalise=entry.normalise,
                weights=entry.weights if entry.weights in NAMED_WEIGHTS else "file",
                training=entry.training,
            )
            if spec.name in seen:
                raise SuiteError(f"{place}: the suite has two targets called {spec.name}")
            seen.add(spec.name)
            yield Target(spec, entry)


def _cells(
    graph: JobGraph, targets: Sequence[Target], keep: Sequence[Mapping[str, str]]
) -> Iterator[Cell]:
    suite = graph.suite
    settings = (
        Setting(PROTOCOLS[protocol], policy, target_seed, seed)
        for protocol, policy, target_seed, seed in product(
            suite.protocols, suite.policies, suite.target_seeds, range(suite.seeds)
        )
    )
    for setting in settings:
        for number, entry in enumerate(suite.attacks):
            published = registry().attacks[entry.attack].build(setting.protocol)
            changes = {**_shared(suite, published), **entry.params}
            attack = override(published, changes, f"attacks[{number}].params")
            for source, victim in _pairs(suite, entry, attack, targets):
                row = _describe(graph, setting, attack, source, victim)
                row |= _changed(setting, changes, entry.params)
                if keep and not any(_matches(row, wanted) for wanted in keep):
                    continue
                if attack.code_only and source.spec.bits != victim.spec.bits:
                    reason = (
                        f"a {source.spec.bits}-bit code cannot query a {victim.spec.bits}-bit "
                        "database"
                    )
                    yield Cell(row, {}, reason)
                else:
                    yield Cell(row, graph.chain(setting, attack, source, victim))


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


def _describe(
    graph: JobGraph,
    setting: Setting,
    attack: Attack,
    source: Target,
    victim: Target,
) -> dict[str, Any]:
    """Return the columns of a row that are known before anything ran."""
    return {
        "dataset": graph.data.name,
        "dataset_fingerprint": graph.data.fingerprint,
        "attack": attack.id,
        "title": attack.title,
        "params": canonical_json(hyper_parameters(attack)),
        "source": source.spec.name,
        "source_bits": source.spec.bits,
        "victim": victim.spec.name,
        "victim_bits": victim.spec.bits,
        "policy": setting.policy,
        "target_seed": setting.target_seed,
        "draw_seed": setting.seed,
        "attack_seed": setting.seed,
        "n_queries": graph.n_queries,
        "budget_class": _budget_class(attack),
        "epsilon": attack.epsilon,
        "batch": graph.compute.batch,
        "threads": graph.compute.threads,
        "dtype": graph.compute.dtype,
    }


def _shared(suite: Suite, attack: Attack) -> dict[str, Any]:
    """Return the suite-wide hyper-parameters that this attack has."""
    known = hyper_parameters(attack)
    return {name: value for name, value in suite.params.items() if name in known}


def _changed(
    setting: Setting, changes: Mapping[str, Any], own: Mapping[str, Any]
) -> dict[str, str]:
    """Return the columns that say what differs from the protocol, and what only here."""
    protocol = setting.protocol.name
    return {
        "overrides": ", ".join(f"{name}={value}" for name, value in changes.items()),
        "variant": ", ".join(f"{name}={value}" for name, value in own.items()),
        "protocol": f"{protocol}+overrides" if changes else protocol,
    }


def _check_shared(suite: Suite) -> None:
    """Refuse a suite-wide hyper-parameter that none of the suite's attacks has."""
    attacks = [
        registry().attacks[entry.attack].build(PROTOCOLS[suite.protocols[0]])
        for entry in suite.attacks
    ]
    known = {name for attack in attacks for name in hyper_parameters(attack)}
    for name in suite.params:
        if name not in known:
            raise SuiteError(
                f"params.{name}: no attack of the suite has this hyper-parameter"
                f"{nearest(name, known)}"
            )


def _budget_class(attack: Attack) -> str:
    """Return what a row is ranked among: rows are compared at equal budget only."""
    if attack.code_only:
        return "code"
    if not attack.targeted:
        return "reference"
    if attack.epsilon is None:
        return "unbounded"
    return f"{round(255 * attack.epsilon, 3):g}/255"


def _parse_filter(text: str) -> dict[str, str]:
    wanted: dict[str, str] = {}
    for part in text.split(","):
        name, equals, glob = (piece.strip() for piece in part.partition("="))
        if not equals or not glob:
            raise SuiteError(f"--only {text}: expected column=glob, got '{part}'")
        if name not in COLUMNS:
            raise SuiteError(f"--only {text}: no column '{name}'{nearest(name, COLUMNS)}")
        wanted[name] = glob
    return wanted


def _matches(row: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    return all(fnmatch.fnmatchcase(str(row.get(name, "")), glob) for name, glob in wanted.items())


def _needed(cells: Sequence[Cell], jobs: Mapping[str, Job]) -> dict[str, Job]:
    """Return the jobs the cells stand on, inputs first."""
    ordered: dict[str, Job] = {}

    def visit(key: str) -> None:
        if key not in ordered:
            for ref in jobs[key].inputs.values():
                visit(ref.key)
            ordered[key] = jobs[key]

    for cell in cells:
        for stage in _CHAIN:
            if stage in cell.jobs:
                visit(cell.jobs[stage].key)
    return ordered
