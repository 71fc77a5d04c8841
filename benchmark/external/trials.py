"""The trials of an output folder: queries with target labels, and trained hashers to attack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from hashattack.benchmark.columns import Goal
from hashattack.benchmark.external import ExternalError
from hashattack.benchmark.jobs import Job
from hashattack.benchmark.plan.cells import row_filter, settings_of
from hashattack.benchmark.plan.graph import JobGraph, Setting, Target
from hashattack.benchmark.plan.plan import graphs_of
from hashattack.benchmark.results.stored_suite import stored_sizing, stored_suite
from hashattack.benchmark.stages.attacking import DrawTargets, target_labels
from hashattack.benchmark.store.store import Store
from hashattack.benchmark.suites.suite import Suite
from hashattack.datasets.base import UInt8Array
from hashattack.datasets.draws import OWN


class TrialIdentity(BaseModel):
    """What decides the queries, their target labels and which training of a hasher is meant."""

    model_config = ConfigDict(frozen=True)

    dataset: str
    dataset_fingerprint: str
    protocol: str
    policy: str
    target_seed: int
    draw_seed: int
    n_t: int
    n_queries: int


@dataclass(frozen=True)
class Trial:
    """The queries of a data set under one setting."""

    graph: JobGraph
    setting: Setting
    # By name, each with the graph of the part of the suite that has it.
    targets: dict[str, tuple[JobGraph, Target]] = field(default_factory=dict)

    @property
    def identity(self) -> TrialIdentity:
        """The values by which the trial is found again."""
        return TrialIdentity(
            dataset=self.graph.data.name,
            dataset_fingerprint=self.graph.data.fingerprint,
            protocol=self.setting.protocol.name,
            policy=self.setting.policy,
            target_seed=self.setting.target_seed,
            draw_seed=self.setting.seed,
            n_t=self.graph.suite.n_t,
            n_queries=self.graph.n_queries,
        )

    @property
    def target_labels(self) -> UInt8Array:
        """The queries' target label rows, of non-targeted attacks their own, uint8 ``[q, C]``."""
        task = self.graph.draw(self.setting).task
        assert isinstance(task, DrawTargets)
        return target_labels(task, self.graph.data)[0]

    def hasher(self, name: str) -> Job:
        """Return the job that trained or imported a target."""
        graph, target = self.targets[name]
        return graph.train(target, self.setting.target_seed)


@dataclass(frozen=True)
class Origin:
    """An output folder whose hashers are attacked, and the trials of its suite."""

    out: Path
    suite: Suite
    trials: Sequence[Trial]

    @property
    def store(self) -> Store:
        """The store of its jobs."""
        return Store(self.out / "store")

    @classmethod
    def of(cls, out: Path, cache: Path) -> Origin:
        """Read a folder; the plug-ins of its attacks need not be loaded.

        Raises:
            NoRunError: it holds no run.
            SuiteError: its suite cannot be read.
        """
        suite = stored_suite(out, attacks=False)
        found: dict[TrialIdentity, Trial] = {}
        for graph, targets in graphs_of(suite, cache, stored_sizing(out), labelled=True):
            for setting in settings_of(graph.suite, [*graph.suite.policies, OWN]):
                if setting.policy == "as-published":  # its draws belong to single attacks
                    continue
                trial = Trial(graph, setting)
                trial = found.setdefault(trial.identity, trial)
                for target in targets:
                    if target.spec.unavailable:
                        continue
                    trial.targets.setdefault(target.spec.name, (graph, target))
        return cls(out, suite, list(found.values()))

    def is_trained(self, trial: Trial, name: str) -> bool:
        """Return whether the hasher of a target is in the store."""
        return name in trial.targets and self.store.is_done(trial.hasher(name).ref)

    def trained(
        self, filters: Sequence[str], goal: Goal = "targeted"
    ) -> list[tuple[Trial, list[str]]]:
        """Return the trials with the names of their trained targets that match a filter.

        Args:
            filters: as ``--only`` takes them; none keep everything.
            goal: of the attacks that they are for.

        Raises:
            ExternalError: no hasher is trained, or none matches.
        """
        trials = [trial for trial in self.trials if trial.setting.goal == goal]
        if not trials:
            raise ExternalError(
                f"{self.out}: its policy is as-published, where each attack has its own target "
                "labels; run it under another policy"
            )
        matches = row_filter(filters)
        trained = [(t, name) for t in trials for name in t.targets if self.is_trained(t, name)]
        if not trained:
            raise ExternalError(f"{self.out}: none of its hashers is trained yet; run it first")
        kept: dict[TrialIdentity, tuple[Trial, list[str]]] = {}
        for trial, name in trained:
            bits = trial.targets[name][1].spec.bits
            row = {**trial.identity.model_dump(), "source": name, "source_bits": bits}
            if matches(row):
                kept.setdefault(trial.identity, (trial, []))[1].append(name)
        if not kept:
            raise ExternalError(
                f"--only {' --only '.join(filters)} matches no trained hasher of {self.out}; a "
                "trial has dataset, source, source_bits, protocol, policy and seeds, and no attack"
            )
        return list(kept.values())
