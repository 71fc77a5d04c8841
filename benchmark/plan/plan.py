"""From a suite to the graph of jobs, sharing every job that two cells have in common.

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
from hashattack.benchmark.suites.parameters import construct, hyper_parameters
from hashattack.benchmark.suites.sources import SuiteError
from hashattack.benchmark.suites.suite import Suite
from hashattack.datasets.base import SPLITS, DatasetSpec, RetrievalData
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
        SuiteError: a parameter that does not fit, or a suite without cells.
    """
    _check_params(suite)
    cells: dict[str, Cell] = {}
    graphs: list[JobGraph] = []
    trained: dict[tuple[str, str, int], str] = {}
    for graph, targets in graphs_of(suite, cache, sizing):
        _check_trainings(trained, graph, targets)
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
    """
    jobs: dict[str, Job] = {}  # of all graphs, so that equal jobs are one
    loaded: dict[str, tuple[DatasetSpec, RetrievalData]] = {}
    for part in suite.parts or [suite]:
        targets = list(_targets(part))
        for number, entry in enumerate(part.datasets):
            name = canonical_json(entry.model_dump())
            if name not in loaded:
                cls, place = registry().datasets[entry.dataset], f"datasets[{number}].params"
                spec: DatasetSpec = construct(cls, entry.params, place)
                data = spec.load(cache)
                if not labelled:
                    data = data.without_labels(*SPLITS, refusal=hidden_labels)
                loaded[name] = spec, data
            yield JobGraph(part, *loaded[name], jobs, sizing), targets


def assemble(suite: Suite, cells: Sequence[Cell], graphs: Sequence[JobGraph]) -> Plan:
    """Return the plan of cells, with the jobs of the graphs that they need."""
    by_data = {graph.data.fingerprint: graph for graph in graphs}
    jobs = {key: job for graph in graphs for key, job in graph.jobs.items()}
    return Plan(
        suite,
        cells,
        needed(cells, jobs),
        {fingerprint: graph.data for fingerprint, graph in by_data.items()},
        {fingerprint: graph.dataset for fingerprint, graph in by_data.items()},
    )


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
            spec = TargetSpec(
                method=construct(
                    known.methods[method], entry.method_params, f"{place}.method_params"
                ),
                backbone=construct(
                    known.backbones[backbone], entry.backbone_params, f"{place}.backbone_params"
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


def _check_trainings(
    trained: dict[tuple[str, str, int], str], graph: JobGraph, targets: Sequence[Target]
) -> None:
    """Refuse two hashers under one name, as their rows would be compared."""
    for target, seed in product(targets, graph.suite.target_seeds):
        name = (graph.data.fingerprint, target.spec.name, seed)
        if trained.setdefault(name, key := graph.train(target, seed).key) != key:
            raise SuiteError(
                f"{graph.suite.name}: another included suite makes {target.spec.name} by another "
                "recipe; give both one scale, or run them apart"
            )


def _check_params(suite: Suite) -> None:
    """Refuse a hyper-parameter that none of the attacks has that it is set for."""
    parts = suite.parts or [suite]
    protocol = PROTOCOLS[parts[0].protocols[0]]
    entries = registry().attacks.items()
    known = {id_: hyper_parameters(entry.build(protocol)).keys() for id_, entry in entries}
    # What a suite sets goes to every suite it includes; not all of these need have such an attack.
    used = [entry.attack for part in parts for entry in part.attacks]
    settings = [("params", used, part.params) for part in parts]
    for glob, params in (item for part in parts for item in part.attack_params.items()):
        settings.append((f"attack_params.{glob}", fnmatch.filter(known, glob), params))
        if not settings[-1][1]:
            raise SuiteError(f"attack_params.{glob}: no such attack{nearest(glob, known)}")
    for place, attacks, params in settings:
        names = {name for attack in attacks for name in known[attack]}
        for name in params:
            if name not in names:
                whose = "of the suite" if place == "params" else "that it is for"
                raise SuiteError(
                    f"{place}.{name}: no attack {whose} has this hyper-parameter"
                    f"{nearest(name, names)}"
                )
