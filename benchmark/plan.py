"""From a suite to the graph of jobs, sharing every job that two cells have in common.

Planning computes nothing: it crosses what the suite names and derives the keys.
"""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from attacks.base import Attack
from attacks.protocols import PROTOCOLS, Protocol
from benchmark.jobs import Compute, Job, Task
from benchmark.records import COLUMNS, canonical_json
from benchmark.registry import nearest, registry
from benchmark.stages import (
    Craft,
    DrawTargets,
    Encode,
    Hash,
    ImportWeights,
    Pretrain,
    Score,
    Train,
)
from benchmark.suite import (
    AttackEntry,
    Suite,
    SuiteError,
    TargetEntry,
    construct,
    hyper_parameters,
    override,
)
from datasets.base import DatasetSpec, RetrievalData, SplitName
from datasets.draws import Policy
from targets.checkpoints import weights_file
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


@dataclass(frozen=True)
class _Target:
    """A target, with where its trunk's weights come from. No path stands in the spec."""

    spec: TargetSpec
    entry: TargetEntry


@dataclass
class _Planner:
    """Makes the jobs of one data set; jobs of equal key are one."""

    suite: Suite
    dataset: DatasetSpec
    data: RetrievalData
    jobs: dict[str, Job] = field(default_factory=dict)

    def job(self, task: Task, **inputs: Job) -> Job:
        made = Job.of(task, inputs)
        return self.jobs.setdefault(made.key, made)

    @property
    def source_data(self) -> dict[str, Any]:
        return {"dataset": self.dataset, "fingerprint": self.data.fingerprint}

    @property
    def compute(self) -> Compute:
        entry = self.suite.compute
        return Compute(batch=entry.batch, threads=entry.threads, dtype=entry.dtype)

    @property
    def n_queries(self) -> int:
        there, wanted = len(self.data.query), self.suite.queries
        if wanted is not None and wanted > there:
            raise SuiteError(f"queries: {wanted} asked, but {self.data.name} has {there}")
        return wanted or there

    def train(self, target: _Target, seed: int) -> Job:
        spec, weights = target.spec, target.entry.weights
        threads = self.suite.compute.threads
        inputs = {}
        if weights == "labels":
            inputs["trunk"] = self.job(
                Pretrain(
                    **self.source_data,
                    threads=threads,
                    backbone=spec.backbone,
                    recipe=target.entry.pretraining,
                )
            )
        elif weights != "none":
            path = weights_file(spec.backbone, weights)
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            inputs["trunk"] = self.job(
                ImportWeights(
                    backbone=spec.backbone, side=self.data.side, sha256=sha256, path=str(path)
                )
            )
        return self.job(Train(**self.source_data, threads=threads, spec=spec, seed=seed), **inputs)

    def encode(self, target: _Target, seed: int, split: SplitName) -> Job:
        task = Encode(**self.source_data, compute=self.compute, spec=target.spec, split=split)
        return self.job(task, target=self.train(target, seed))

    def draw(self, protocol: Protocol, policy: Policy, seed: int) -> Job:
        return self.job(
            DrawTargets(
                **self.source_data,
                policy=policy,
                pool=protocol.anchor_pool,
                n_t=self.suite.n_t,
                n_queries=self.n_queries,
                seed=seed,
            )
        )

    def craft(self, setting: _Setting, attack: Attack, source: _Target) -> Job:
        inputs = {
            "target": self.train(source, setting.target_seed),
            "train": self.encode(source, setting.target_seed, "train"),
            "targets": self.draw(setting.protocol, setting.policy, setting.seed),
        }
        if setting.protocol.sees_database:
            inputs["database"] = self.encode(source, setting.target_seed, "database")
        task = Craft(
            **self.source_data,
            compute=self.compute,
            attack=attack,
            source=source.spec,
            n_queries=self.n_queries,
            seed=setting.seed,
        )
        return self.job(task, **inputs)

    def chain(
        self, setting: _Setting, attack: Attack, source: _Target, victim: _Target
    ) -> dict[str, Job]:
        """Return the jobs that fill one cell: craft once, hash and score on the victim."""
        chain = {"craft": self.craft(setting, attack, source)}
        crafted = f"{attack.title} on {source.spec.name}"
        if not attack.code_only:
            hashing = Hash(
                **self.source_data,
                compute=self.compute,
                victim=victim.spec,
                n_queries=self.n_queries,
                epsilon=attack.epsilon,
                of=crafted,
            )
            chain["hash"] = self.job(
                hashing, images=chain["craft"], target=self.train(victim, setting.target_seed)
            )
        scoring = Score(
            **self.source_data,
            n_queries=self.n_queries,
            of=f"{crafted} against {victim.spec.name}",
        )
        chain["score"] = self.job(
            scoring,
            codes=chain["craft"] if attack.code_only else chain["hash"],
            database=self.encode(victim, setting.target_seed, "database"),
            targets=self.draw(setting.protocol, setting.policy, setting.seed),
        )
        return chain


@dataclass(frozen=True)
class _Setting:
    """What all attacks of a comparison share."""

    protocol: Protocol
    policy: Policy
    target_seed: int
    seed: int  # the draw's and the attack's


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
        planner = _Planner(suite, spec, loaded, jobs)
        cells += _cells(planner, targets, keep)
    if not cells:
        raise SuiteError(
            f"--only {' --only '.join(only)} matches no cell of suite '{suite.name}'"
            if only
            else f"suite '{suite.name}' has no cells: no attack matches any target"
        )
    return Plan(suite, cells, _needed(cells, jobs), data)


def _targets(suite: Suite) -> Iterator[_Target]:
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
            yield _Target(spec, entry)


def _cells(
    planner: _Planner, targets: Sequence[_Target], keep: Sequence[Mapping[str, str]]
) -> Iterator[Cell]:
    suite = planner.suite
    settings = (
        _Setting(PROTOCOLS[protocol], policy, target_seed, seed)
        for protocol, policy, target_seed, seed in product(
            suite.protocols, suite.policies, suite.target_seeds, range(suite.seeds)
        )
    )
    for setting in settings:
        for number, entry in enumerate(suite.attacks):
            attack = override(
                registry().attacks[entry.attack].build(setting.protocol),
                entry.params,
                f"attacks[{number}].params",
            )
            for source, victim in _pairs(suite, entry, attack, targets):
                row = _describe(planner, setting, entry, attack, source, victim)
                if keep and not any(_matches(row, wanted) for wanted in keep):
                    continue
                if attack.code_only and source.spec.bits != victim.spec.bits:
                    reason = (
                        f"a {source.spec.bits}-bit code cannot query a {victim.spec.bits}-bit "
                        "database"
                    )
                    yield Cell(row, {}, reason)
                else:
                    yield Cell(row, planner.chain(setting, attack, source, victim))


def _pairs(
    suite: Suite, entry: AttackEntry, attack: Attack, targets: Sequence[_Target]
) -> Iterator[tuple[_Target, _Target]]:
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
    planner: _Planner,
    setting: _Setting,
    entry: AttackEntry,
    attack: Attack,
    source: _Target,
    victim: _Target,
) -> dict[str, Any]:
    """Return the columns of a row that are known before anything ran."""
    published = setting.protocol.name
    return {
        "dataset": planner.data.name,
        "dataset_fingerprint": planner.data.fingerprint,
        "attack": attack.id,
        "title": attack.title,
        "params": canonical_json(hyper_parameters(attack)),
        "overrides": ", ".join(f"{name}={value}" for name, value in entry.params.items()),
        "source": source.spec.name,
        "source_bits": source.spec.bits,
        "victim": victim.spec.name,
        "victim_bits": victim.spec.bits,
        "policy": setting.policy,
        "target_seed": setting.target_seed,
        "draw_seed": setting.seed,
        "attack_seed": setting.seed,
        "protocol": f"{published}+overrides" if entry.params else published,
        "n_queries": planner.n_queries,
        "budget_class": _budget_class(attack),
        "epsilon": attack.epsilon,
        "batch": planner.compute.batch,
        "threads": planner.compute.threads,
        "dtype": planner.compute.dtype,
    }


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
