"""From a suite to its cells and the graph of their jobs; equal jobs of several cells are one.

Planning computes nothing: it crosses what the suite names and derives the keys.
"""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from hashattack.attacks.base import Attack
from hashattack.attacks.protocols import PROTOCOLS, Protocol
from hashattack.benchmark.audit import hidden_labels
from hashattack.benchmark.columns import COLUMNS
from hashattack.benchmark.jobs import Job
from hashattack.benchmark.names import nearest
from hashattack.benchmark.plan.graph import JobGraph, Setting, Sizing, Target
from hashattack.benchmark.registry import registry
from hashattack.benchmark.store.keys import canonical_json
from hashattack.benchmark.suites.loading import (
    construct,
    hyper_parameters,
    override,
    parameters_text,
)
from hashattack.benchmark.suites.sources import SuiteError
from hashattack.benchmark.suites.suite import AttackEntry, Params, Suite
from hashattack.datasets.base import (
    SPLITS,
    DatasetError,
    DatasetSpec,
    MissingDataError,
    RetrievalData,
)
from hashattack.datasets.texts import one_line
from hashattack.targets.hasher import NAMED_WEIGHTS, TargetSpec


@dataclass(frozen=True)
class Cell:
    """A row of the result table: what it is, and the jobs whose records fill it."""

    row: Mapping[str, Any]
    jobs: Mapping[str, Job]  # by stage: craft, hash, score; gallery for people
    skipped: str | None = None  # the reason why it has no jobs


def settings_of(suite: Suite) -> Iterator[Setting]:
    """Yield what a suite's attacks are compared under: protocols × policies × seeds.

    Raises:
        SuiteError: target labels that the images of an anchor code need not carry.
    """
    for protocol, policy, target_seed, seed in product(
        suite.protocols, suite.policies, suite.target_seeds, range(suite.seeds)
    ):
        if policy == "unique" and PROTOCOLS[protocol].anchor_pool == "train":
            raise SuiteError(
                f"policies: under protocol {protocol} anchor codes come from the training set, "
                "which need not have the label rows of 'unique'; use 'unique-train'"
            )
        yield Setting(PROTOCOLS[protocol], policy, target_seed, seed, seed + suite.reseed)


def cells_of(graph: JobGraph, targets: Sequence[Target]) -> Iterator[Cell]:
    """Yield the cells of one data set: settings × attacks × (source, victim)."""
    for setting in settings_of(graph.suite):
        for number, entry in enumerate(graph.suite.attacks):
            place = f"attacks[{number}].params"
            attack, changed = _attack_of(graph, entry, setting.protocol, place)
            for source, victim in _pairs(graph.suite, entry, attack, targets):
                row = describe(graph, setting, attack, source, victim) | changed
                reason, jobs = obstacle(attack, source, victim), dict[str, Job]()
                if reason is None:
                    craft = graph.craft(setting, attack, source)
                    jobs = graph.chain(setting, craft, attack, source, victim)
                yield Cell(row, jobs, reason)


def obstacle(attack: Attack, source: Target, victim: Target) -> str | None:
    """Return why a cell cannot be run, or None."""
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
    suite: Suite, entry: AttackEntry, attack: Attack, targets: Sequence[Target]
) -> Iterator[tuple[Target, Target]]:
    """Yield source and victim. An attack without a target code transfers nothing."""

    def matching(globs: Sequence[str]) -> list[Target]:
        return [one for one in targets if any(fnmatch.fnmatchcase(one.spec.name, g) for g in globs)]

    victims = matching(suite.victims)
    for source in matching(entry.sources):
        for victim in targets:
            itself = victim is source
            transfers = victim in victims and (itself or attack.targeted)
            if transfers or (itself and "self" in suite.victims):
                yield source, victim


def describe(
    graph: JobGraph, setting: Setting, attack: Attack, source: Target, victim: Target
) -> dict[str, Any]:
    """Return the columns of a row that are known before anything ran."""
    hashers: dict[str, Any] = {}
    for role, spec in (("source", source.spec), ("victim", victim.spec)):
        hashers |= {role: spec.name, f"{role}_method": spec.method.name}
        hashers |= {f"{role}_backbone": spec.backbone.name, f"{role}_bits": spec.bits}
    compute = graph.compute(source.spec.backbone if attack.needs_source else None)
    return {
        "attack": attack.id,
        "title": attack.title,
        "role": attack.role,
        "targeted": attack.targeted,
        "code_only": attack.code_only,
        "learns": attack.learns,
        "params": parameters_text(attack),
        "budget_class": _budget_class(attack),
        "epsilon": attack.epsilon,
        "passes_per_image": attack.passes,
        "dataset": graph.data.name,
        "dataset_fingerprint": graph.data.fingerprint,
        **hashers,
        "policy": setting.policy,
        "target_seed": setting.target_seed,
        "draw_seed": setting.seed,
        "attack_seed": setting.attack_seed,
        "protocol": setting.protocol.name,
        "n_queries": graph.n_queries,
        **dataclasses.asdict(compute),  # batch, threads, dtype, precision, compiled
    }


def _budget_class(attack: Attack) -> str:
    """Return the class that a row is ranked in: rows are compared at equal budget only."""
    if attack.code_only:
        return "code"
    if not attack.targeted:
        return "reference"
    return "unbounded" if attack.epsilon is None else f"{255 * attack.epsilon:.6g}/255"


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


@dataclass(frozen=True)
class Plan:
    """The cells of a suite and their jobs, inputs before what needs them."""

    suite: Suite
    cells: Sequence[Cell]
    jobs: Mapping[str, Job]
    data: Mapping[str, RetrievalData]  # by fingerprint
    specs: Mapping[str, DatasetSpec]  # by fingerprint

    def only(self, filters: Sequence[str]) -> Plan:
        """Return the plan of the cells that :func:`row_filter` lets through, and their jobs.

        Raises:
            SuiteError: no cell matches.
        """
        matches = row_filter(filters)
        cells = [cell for cell in self.cells if matches(cell.row)]
        if not cells:
            raise SuiteError(
                f"--only {' --only '.join(filters)} matches no cell of suite '{self.suite.name}'"
            )
        return replace(self, cells=cells, jobs=needed(cells, self.jobs))


def make_plan(suite: Suite, cache: Path, sizing: Sizing | None = None) -> Plan:
    """Cross a suite into cells and jobs; ``sizing`` finds batches that the suite leaves open.

    Raises:
        SuiteError: a parameter that does not fit, two hashers of one name, or no cells.
    """
    _check_params(suite)
    cells: dict[str, Cell] = {}
    graphs: list[JobGraph] = []
    trained: dict[tuple[str, str, int], str] = {}
    for graph, targets in graphs_of(suite, cache, sizing):
        for target, seed in product(targets, graph.suite.target_seeds):
            hasher, key = target.spec.name, graph.train(target, seed).key
            if trained.setdefault((graph.data.fingerprint, hasher, seed), key) != key:
                raise SuiteError(  # their rows would be compared
                    f"{graph.suite.name}: another included suite makes {hasher} by another recipe; "
                    "give both one scale, or run them apart"
                )
        graphs.append(graph)
        for cell in cells_of(graph, targets):
            name = canonical_json(cell.row)  # the same cell of another part may have a gallery
            cells[name] = replace(cell, jobs={**cells.get(name, cell).jobs, **cell.jobs})
    if not cells:
        raise SuiteError(f"suite '{suite.name}' has no cells: no attack matches any target")
    return assemble(suite, list(cells.values()), graphs)


def graphs_of(
    suite: Suite, cache: Path, sizing: Sizing | None = None, *, labelled: bool = False
) -> Iterator[tuple[JobGraph, list[Target]]]:
    """Yield the graph and the targets of every part of a suite and every data set of it.

    The data sets keep their labels if ``labelled``: a plan needs none, and plug-ins could see them.

    Raises:
        SuiteError: a parameter that does not fit.
        DatasetError: data sets that cannot be read; all are named.
    """
    jobs: dict[str, Job] = {}  # of all graphs, so that equal jobs are one
    loaded = _load(suite, cache, labelled=labelled)
    for part in suite.parts or [suite]:
        targets = list(_targets(part))
        for entry in part.datasets:
            data = loaded[canonical_json(entry.model_dump())]
            yield JobGraph(part, *data, jobs, sizing), targets


def _load(
    suite: Suite, cache: Path, *, labelled: bool
) -> dict[str, tuple[DatasetSpec, RetrievalData]]:
    """Return the data sets of a suite by the JSON of their entries."""
    loaded: dict[str, tuple[DatasetSpec, RetrievalData]] = {}
    errors: dict[str, DatasetError] = {}
    for part in suite.parts or [suite]:
        for number, entry in enumerate(part.datasets):
            name = canonical_json(entry.model_dump())
            if name in loaded or name in errors:
                continue
            cls, place = registry().datasets[entry.dataset], f"datasets[{number}].params"
            spec: DatasetSpec = construct(cls, entry.params, place)
            try:
                data = spec.load(cache)
            except DatasetError as error:
                errors[name] = error
                continue
            if not labelled:
                data = data.without_labels(*SPLITS, refusal=hidden_labels)
            loaded[name] = spec, data
    if errors:
        missing = any(isinstance(error, MissingDataError) for error in errors.values())
        kind = MissingDataError if missing else DatasetError
        raise kind("\n".join(map(str, errors.values())))
    return loaded


def assemble(suite: Suite, cells: Sequence[Cell], graphs: Sequence[JobGraph]) -> Plan:
    """Return the plan of cells, with the jobs of the graphs that they need."""
    jobs = {key: job for graph in graphs for key, job in graph.jobs.items()}
    data = {graph.data.fingerprint: graph.data for graph in graphs}
    specs = {graph.data.fingerprint: graph.dataset for graph in graphs}
    return Plan(suite, cells, needed(cells, jobs), data, specs)


def needed(cells: Sequence[Cell], jobs: Mapping[str, Job]) -> dict[str, Job]:
    """Return the jobs of cells and all their inputs, inputs first."""
    ordered: dict[str, Job] = {}

    def visit(key: str) -> None:
        if key not in ordered:
            for ref in jobs[key].inputs.values():
                visit(ref.key)
            ordered[key] = jobs[key]

    for cell in cells:
        for job in cell.jobs.values():
            visit(job.key)
    return ordered


def _targets(suite: Suite) -> Iterator[Target]:
    """Yield a suite's targets: methods × backbones × code lengths of each entry."""
    seen: set[str] = set()
    known = registry()
    for number, entry in enumerate(suite.targets):
        place = f"targets[{number}]"
        for method, backbone, bits in product(entry.method, entry.backbone, entry.bits):
            loss, trunk = known.methods[method], known.backbones[backbone]
            spec = TargetSpec(
                method=construct(loss, entry.method_params, f"{place}.method_params"),
                backbone=construct(trunk, entry.backbone_params, f"{place}.backbone_params"),
                bits=bits,
                normalise=entry.normalise,
                weights=entry.weights if entry.weights in NAMED_WEIGHTS else "file",
                training=entry.training,
            )
            if spec.name in seen:
                raise SuiteError(f"{place}: the suite has two targets called {spec.name}")
            seen.add(spec.name)
            yield Target(spec, entry)


def _check_params(suite: Suite) -> None:
    """Refuse a hyper-parameter that none of the attacks has that it is set for."""
    parts = suite.parts or [suite]
    protocol = PROTOCOLS[parts[0].protocols[0]]
    entries = registry().attacks.items()
    known = {id_: hyper_parameters(entry.build(protocol)).keys() for id_, entry in entries}

    def check(place: str, params: Params, attacks: Sequence[str], whose: str) -> None:
        names = set[str]().union(*(known[attack] for attack in attacks))
        for name in params:
            if name not in names:
                raise SuiteError(
                    f"{place}.{name}: no attack {whose} has this hyper-parameter"
                    f"{nearest(name, names)}"
                )

    # What a suite sets goes to every suite it includes; not all of these need have such an attack.
    used = [entry.attack for part in parts for entry in part.attacks]
    for part in parts:
        check("params", part.params, used, "of the suite")
        for glob, params in part.attack_params.items():
            attacks = fnmatch.filter(known, glob)
            if not attacks:
                raise SuiteError(f"attack_params.{glob}: no such attack{nearest(glob, known)}")
            check(f"attack_params.{glob}", params, attacks, "that it is for")
