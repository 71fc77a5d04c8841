"""From a suite to the graph of jobs, sharing every job that two cells have in common.

Planning computes nothing: it crosses what the suite names and derives the keys.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from hashattack.attacks.protocols import PROTOCOLS
from hashattack.benchmark.jobs import Job
from hashattack.benchmark.names import nearest
from hashattack.benchmark.plan.cells import Cell, cells_of
from hashattack.benchmark.plan.graph import JobGraph, Sizing, Target
from hashattack.benchmark.registry import registry
from hashattack.benchmark.store.keys import canonical_json
from hashattack.benchmark.suites.filters import admits, parse_filter
from hashattack.benchmark.suites.parameters import construct, hyper_parameters
from hashattack.benchmark.suites.sources import SuiteError
from hashattack.benchmark.suites.suite import DatasetEntry, Suite
from hashattack.datasets.base import SPLITS, DatasetError, DatasetSpec, RetrievalData, SplitName
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
        """Return the plan of some cells and the jobs they stand on.

        Args:
            filters: like ``attack=dhta,source=DPSH-*-32``: comma is and, several are or; none
                keep everything.

        Raises:
            SuiteError: no cell matches.
        """
        wanted = [parse_filter(text) for text in filters]
        cells = [cell for cell in self.cells if admits(cell.row, wanted)]
        if not cells:
            raise SuiteError(
                f"--only {' --only '.join(filters)} matches no cell of suite '{self.suite.name}'"
            )
        return replace(self, cells=cells, jobs=needed(cells, self.jobs))


def make_plan(suite: Suite, cache: Path, sizing: Sizing | None = None) -> Plan:
    """Cross a suite into cells and jobs; data sets are built under ``cache``.

    ``sizing`` finds batches for a suite that leaves them open.

    Raises:
        SuiteError: a parameter that does not fit, or a suite without cells.
    """
    _check_params(suite)
    cells: dict[str, Cell] = {}
    jobs: dict[str, Job] = {}
    trained: dict[tuple[str, str, int], str] = {}
    graphs = list(graphs_of(suite, cache, jobs, sizing))
    for graph, targets in graphs:
        _check_trainings(trained, graph, targets)
        for cell in cells_of(graph, targets):
            _keep_one(cells, cell)
    if not cells:
        raise SuiteError(f"suite '{suite.name}' has no cells: no attack matches any target")
    listed = list(cells.values())
    return assemble(suite, listed, jobs, [graph for graph, _ in graphs])


def graphs_of(
    suite: Suite,
    cache: Path,
    jobs: dict[str, Job],
    sizing: Sizing | None = None,
    *,
    labelled: bool = False,
) -> Iterator[tuple[JobGraph, list[Target]]]:
    """Yield, for every part of a suite and every data set of it, the graph and the targets.

    Args:
        suite: the suite.
        cache: where data sets are built; each is loaded once.
        jobs: takes what the graphs make.
        sizing: finds batches for a suite that leaves them open.
        labelled: the data sets keep their labels.

    Raises:
        SuiteError: a parameter that does not fit.
    """
    loaded: dict[str, tuple[DatasetSpec, RetrievalData]] = {}
    for part in suite.parts or [suite]:
        targets = list(_targets(part))
        for number, entry in enumerate(part.datasets):
            name = canonical_json(entry.model_dump())
            if name not in loaded:
                loaded[name] = _load(entry, f"datasets[{number}].params", cache, labelled=labelled)
            yield JobGraph(part, *loaded[name], jobs, sizing), targets


def assemble(
    suite: Suite, cells: Sequence[Cell], jobs: Mapping[str, Job], graphs: Iterable[JobGraph]
) -> Plan:
    """Return the plan of cells, with those of the jobs they stand on."""
    known = list(graphs)
    data = {graph.data.fingerprint: graph.data for graph in known}
    specs = {graph.data.fingerprint: graph.dataset for graph in known}
    return Plan(suite, cells, needed(cells, jobs), data, specs)


def _load(
    entry: DatasetEntry, place: str, cache: Path, *, labelled: bool
) -> tuple[DatasetSpec, RetrievalData]:
    """Return a data set, as a rule without labels: planning needs none, and plug-ins look on."""
    spec: DatasetSpec = construct(registry().datasets[entry.dataset], entry.params, place)
    data = spec.load(cache)
    return spec, data if labelled else data.without_labels(*SPLITS, refusal=_refusal)


def _refusal(split: SplitName) -> DatasetError:
    return DatasetError(f"a plan has no labels of the {split} split")


def _check_trainings(
    trained: dict[tuple[str, str, int], str], graph: JobGraph, targets: Sequence[Target]
) -> None:
    """Refuse two hashers under one name: their rows would be compared.

    Raises:
        SuiteError: an earlier part of the suite makes the target otherwise.
    """
    for target, seed in product(targets, graph.suite.target_seeds):
        name = (graph.data.fingerprint, target.spec.name, seed)
        if trained.setdefault(name, key := graph.train(target, seed).key) != key:
            raise SuiteError(
                f"{graph.suite.name}: another included suite makes {target.spec.name} by another "
                "recipe; give both one scale, or run them apart"
            )


def _keep_one(cells: dict[str, Cell], cell: Cell) -> None:
    """Add a cell, or what it adds to the same cell of an earlier part of the suite."""
    name = canonical_json(cell.row)
    cells[name] = replace(cell, jobs={**cells.get(name, cell).jobs, **cell.jobs})


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


def _check_params(suite: Suite) -> None:
    """Refuse a hyper-parameter that no attack has: of the suite or its parts, or of all there are.

    What a suite sets goes to every suite it includes, not all of which need have such an attack.
    """
    parts = suite.parts or [suite]
    protocol = PROTOCOLS[parts[0].protocols[0]]
    everything = {id_: entry.build(protocol) for id_, entry in registry().attacks.items()}
    used = {entry.attack for part in parts for entry in part.attacks}
    own = {name for id_ in used for name in hyper_parameters(everything[id_])}
    for name in (name for part in parts for name in part.params):
        if name not in own:
            raise SuiteError(
                f"params.{name}: no attack of the suite has this hyper-parameter"
                f"{nearest(name, own)}"
            )
    for glob, params in (item for part in parts for item in part.attack_params.items()):
        meant = [a for id_, a in everything.items() if fnmatch.fnmatchcase(id_, glob)]
        known = {name for attack in meant for name in hyper_parameters(attack)}
        if not meant:
            raise SuiteError(f"attack_params.{glob}: no such attack{nearest(glob, everything)}")
        for name in params:
            if name not in known:
                raise SuiteError(
                    f"attack_params.{glob}.{name}: no such hyper-parameter{nearest(name, known)}"
                )


def needed(cells: Sequence[Cell], jobs: Mapping[str, Job]) -> dict[str, Job]:
    """Return the jobs the cells stand on, inputs first."""
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
