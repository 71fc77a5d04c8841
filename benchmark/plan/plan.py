"""From a suite to its cells and the graph of their jobs; equal jobs of several cells are one.

Planning computes nothing: it crosses what the suite names and derives the keys.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from hashattack.attacks.protocols import PROTOCOLS
from hashattack.benchmark.audit import hidden_labels
from hashattack.benchmark.jobs import Job
from hashattack.benchmark.names import nearest
from hashattack.benchmark.plan.cells import Cell, cells_of, row_filter
from hashattack.benchmark.plan.graph import JobGraph, Sizing, Target
from hashattack.benchmark.registry import registry
from hashattack.benchmark.store.keys import canonical_json
from hashattack.benchmark.suites.loading import construct, hyper_parameters
from hashattack.benchmark.suites.sources import SuiteError
from hashattack.benchmark.suites.suite import Params, Suite
from hashattack.datasets.base import (
    SPLITS,
    DatasetError,
    DatasetSpec,
    MissingDataError,
    RetrievalData,
)
from hashattack.targets.hasher import NAMED_WEIGHTS, TargetSpec


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
        made = [target for target in targets if not target.spec.unavailable]
        for target, seed in product(made, graph.suite.target_seeds):
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
        raise SuiteError(f"suite '{suite.name}' has no cells: no attack matches any target hasher")
    return assemble(suite, list(cells.values()), graphs)


def graphs_of(
    suite: Suite, cache: Path, sizing: Sizing | None = None, *, labelled: bool = False
) -> Iterator[tuple[JobGraph, list[Target]]]:
    """Yield the graph and the target hashers of every part of a suite and every data set of it.

    The data sets keep their labels if ``labelled``: a plan needs none, and plug-ins could see them.

    Raises:
        SuiteError: a parameter that does not fit.
        DatasetError: data sets that cannot be read; all are named.
    """
    jobs: dict[str, Job] = {}  # of all graphs, so that equal jobs are one
    loaded = _load(suite, cache, labelled=labelled)
    for part in suite.parts or [suite]:
        targets = list(targets_of(part))
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


def targets_of(suite: Suite) -> Iterator[Target]:
    """Yield a part's target hashers: methods × backbones × code lengths of each entry."""
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
                defence=entry.defence,
            )
            if spec.name in seen:
                raise SuiteError(f"{place}: the suite has two target hashers called {spec.name}")
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
