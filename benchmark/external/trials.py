"""What attacks of a folder are tried on: queries with target labels, and the hashers there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hashattack.benchmark.external.errors import OutsideError
from hashattack.benchmark.jobs import Job
from hashattack.benchmark.plan.cells import settings_of
from hashattack.benchmark.plan.graph import JobGraph, Setting, Target
from hashattack.benchmark.plan.plan import graphs_of
from hashattack.benchmark.results.stored_suite import stored_sizing, stored_suite
from hashattack.benchmark.stages.attacking import DrawTargets
from hashattack.benchmark.store.store import Store
from hashattack.benchmark.suites.filters import admits, parse_filter
from hashattack.benchmark.suites.suite import Suite
from hashattack.datasets.base import UInt8Array


@dataclass(frozen=True)
class Trial:
    """The queries of a data set under one setting.

    Attributes:
        graph: makes its jobs.
        setting: protocol, policy and seeds.
        homes: by name the targets, each with the graph of the suite's part that has it.
    """

    graph: JobGraph
    setting: Setting
    homes: dict[str, tuple[JobGraph, Target]] = field(default_factory=dict)

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the queries, their target labels and which training of a hasher is meant."""
        return {
            "dataset": self.graph.data.name,
            "dataset_fingerprint": self.graph.data.fingerprint,
            "protocol": self.setting.protocol.name,
            "policy": self.setting.policy,
            "target_seed": self.setting.target_seed,
            "draw_seed": self.setting.seed,
            "n_t": self.graph.suite.n_t,
            "n_queries": self.graph.n_queries,
        }

    @property
    def target_labels(self) -> UInt8Array:
        """The queries' target label rows, uint8 ``[q, C]``."""
        task = self.graph.draw(self.setting.protocol, self.setting.policy, self.setting.seed).task
        assert isinstance(task, DrawTargets)
        return task.drawn(self.graph.data)

    def hasher(self, name: str) -> Job:
        """Return the job that trained or imported a target."""
        graph, target = self.homes[name]
        return graph.train(target, self.setting.target_seed)


@dataclass(frozen=True)
class Origin:
    """An output folder whose hashers are there to be attacked, and the trials it holds."""

    out: Path
    suite: Suite
    trials: Sequence[Trial]

    @property
    def store(self) -> Store:
        """Where its jobs are."""
        return Store(self.out / "store")

    @classmethod
    def of(cls, out: Path, cache: Path) -> Origin:
        """Read a folder; its attacks need not be known here.

        Raises:
            NoRunError: it holds none.
            SuiteError: its suite cannot be read.
        """
        suite = stored_suite(out, attacks=False)
        found: dict[str, Trial] = {}
        for graph, targets in graphs_of(suite, cache, {}, stored_sizing(out), labelled=True):
            for setting in settings_of(graph.suite):
                trial = Trial(graph, setting)
                trial = found.setdefault(str(trial.identity), trial)
                for target in targets:
                    trial.homes.setdefault(target.spec.name, (graph, target))
        return cls(out, suite, list(found.values()))

    def trained(self, trial: Trial) -> list[str]:
        """Return the targets of a trial whose hashers are there."""
        return [name for name in trial.homes if self.store.is_done(trial.hasher(name).ref)]

    def chosen(self, filters: Sequence[str]) -> Iterator[tuple[Trial, list[str]]]:
        """Yield the trials and their trained targets that match a filter of cells.

        Args:
            filters: as ``--only`` takes them; none keep everything.

        Raises:
            OutsideError: no hasher is trained, or none matches.
        """
        wanted = [parse_filter(text) for text in filters]
        trained = [(trial, self.trained(trial)) for trial in self.trials]
        if not any(names for _, names in trained):
            raise OutsideError(f"{self.out}: none of its hashers is trained yet; run it first")
        some = False
        for trial, names in trained:
            kept = [name for name in names if admits(_row(trial, name), wanted)]
            if kept:
                some = True
                yield trial, kept
        if not some:
            raise OutsideError(
                f"--only {' --only '.join(filters)} matches no trained hasher of {self.out}; a "
                "trial has dataset, source, source_bits, protocol, policy and seeds, and no attack"
            )


def _row(trial: Trial, source: str) -> Mapping[str, Any]:
    """Return the columns by which a trial is chosen."""
    bits = trial.homes[source][1].spec.bits
    return {**trial.identity, "source": source, "source_bits": bits}
