"""From images or codes of other code to the cells and jobs that hash and score them."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from hashattack.attacks.base import Attack, Crafting, TargetCode
from hashattack.benchmark.external import ExternalError
from hashattack.benchmark.external.export import TrialFile, TrialRecord
from hashattack.benchmark.external.submission import (
    SUFFIXES,
    Kind,
    content_sha256,
    read_submission,
)
from hashattack.benchmark.external.trials import Origin, Trial
from hashattack.benchmark.jobs import Context, Job, Output, implements
from hashattack.benchmark.names import nearest
from hashattack.benchmark.pipeline import PREPARING, STAGES
from hashattack.benchmark.plan.cells import Cell, describe, obstacle
from hashattack.benchmark.plan.plan import Plan, assemble
from hashattack.benchmark.registry import registry
from hashattack.benchmark.results.manifest import MANIFEST, Manifest, manifest_of, read_manifest
from hashattack.benchmark.store.folder import hold
from hashattack.benchmark.store.store import Store
from hashattack.datasets.texts import ID_RULE, is_id
from hashattack.targets.training import to_pixels

_ORIGIN = "origin"  # the entry of a manifest that names the folder with the hashers
_PLACE = (
    *("attack", "source", "dataset_fingerprint", "protocol", "policy"),
    *("target_seed", "draw_seed", "n_queries"),
)
_SHORT = 24  # characters of a value in a message


@dataclass(frozen=True, kw_only=True)
class ScoreRequest:
    """Images or codes of one attack on one source.

    ``path`` is a folder or file; for several settings a folder, with one for each by its number.
    """

    kind: Kind
    path: Path
    attack: str  # the name of what made them, in results
    title: str  # and in reports
    source: str  # the target they were made on
    epsilon: float | None = None  # the declared budget in pixels of [0, 1]
    victims: Sequence[str] = ()  # globs of target hashers; none for the source itself
    setting: int | None = None  # the only one to score, by its number; None for all

    def cells(self, trials: TrialFile, origin: Origin) -> list[Cell]:
        """Read and check everything, and return the cells to be scored, one per victim.

        Args:
            trials: what the images or codes were made for.
            origin: the folder that the trials were exported from.

        Raises:
            ExternalError: trials of another folder, or images or codes that do not fit them; the
                faults of all settings at once.
        """
        if not is_id(self.attack) or self.attack in registry().attacks:
            raise ExternalError(
                f"--attack {self.attack}: take {ID_RULE}, and no attack of this program; --title "
                "takes words"
            )
        if not self.path.exists():
            raise ExternalError(f"{self.path}: no such file or folder")
        cells: list[Cell] = []
        records, errors = self._records(trials), []
        for record in records:
            try:
                path = self.path if len(records) == 1 else self._path_of(record)
                cells += self._cells(record, origin, path.resolve())
            except ExternalError as error:
                errors.append(str(error))
        if errors:
            raise ExternalError("\n".join(errors))
        return cells

    def _records(self, trials: TrialFile) -> list[TrialRecord]:
        """Return the settings that are requested."""
        hashers = [{source.name for source in one.sources} for one in trials.settings]
        chosen = [
            one
            for one, names in zip(trials.settings, hashers, strict=True)
            if self.source in names and self.setting in (None, one.setting)
        ]
        if not chosen:
            wanted = "" if self.setting is None else f" --setting {self.setting}"
            listed = "\n".join(f"  {one.summary}" for one in trials.settings)
            raise ExternalError(
                f"--source {self.source}{wanted}: not in the trials"
                f"{nearest(self.source, set().union(*hashers))}; there is\n{listed}"
            )
        return chosen

    def _path_of(self, record: TrialRecord) -> Path:
        """Return the folder or file of one of several settings."""
        for suffix in ("", *SUFFIXES[self.kind]):
            path = self.path / f"{record.setting}{suffix}"
            if path.exists():
                return path
        raise ExternalError(
            f"{self.path}: has no folder or file named by the number of setting {record.summary}; "
            "add it, or choose one setting with --setting N"
        )

    def _cells(self, record: TrialRecord, origin: Origin, path: Path) -> Iterator[Cell]:
        """Yield the cells of a setting: described, hashed and scored like those of any attack."""
        trial = matching_trial(record, origin, self.source)
        for glob in self.victims:
            if not fnmatch.filter(trial.targets, glob):
                listed = ", ".join(trial.targets)
                raise ExternalError(f"--victim {glob}: no such hasher; there is {listed}")
        part, goal = _OtherCode(), trial.setting.goal
        aims = goal == "targeted" or record.has_query_labels
        if self.kind == "codes" and not aims:
            raise ExternalError(
                "--codes of a non-targeted attack are made of the queries' labels, which these "
                "trials do not have: export them with --query-labels"
            )
        graph, source = trial.targets[self.source]
        count, side = graph.n_queries, graph.data.side
        shape = (count, 3, side, side) if self.kind == "images" else (count, source.spec.bits)
        read_submission(self.kind, path, shape)
        attack = Attack(
            id=self.attack,
            title=self.title,
            target_code=part if aims else None,
            crafting=None if self.kind == "codes" else part,
            epsilon=self.epsilon,
            goal=goal,
            sees_query_labels=record.has_query_labels,
        )
        task = External(
            kind=self.kind,
            sha256=content_sha256(path, count),
            shape=shape,
            dtype=graph.suite.compute.dtype,
            path=str(path),
            of=f"{self.title} on {self.source}",
        )
        craft = Job.of(task, {})
        graph.jobs[craft.key] = craft  # replaces a job of equal content at an earlier path
        globs = self.victims or [self.source]
        for name, (home, victim) in trial.targets.items():
            if not any(fnmatch.fnmatchcase(name, glob) for glob in globs):
                continue
            row = describe(graph, trial.setting, attack, source, victim)
            row |= {"learns": None, "overrides": "", "variant": ""}  # unknown, and none
            reason = obstacle(attack, source, victim)
            jobs = home.chain(trial.setting, craft, attack, source, victim) if not reason else {}
            yield Cell(row, jobs, reason)


def matching_trial(record: TrialRecord, origin: Origin, source: str) -> Trial:
    """Return the trial of a folder that a record was written from.

    Raises:
        ExternalError: the folder has other data, another draw or another hasher; the text names
            what differs.
    """
    hashers = {one.name: one.sha256 for one in record.sources}
    wanted = {**dict(record), source: hashers[source]}
    trial = max(
        origin.trials, key=lambda one: sum(wanted[name] == value for name, value in one.identity)
    )
    trained = origin.is_trained(trial, source)
    present = {
        **dict(trial.identity),
        "targets": record.targets and [np.flatnonzero(row).tolist() for row in trial.target_labels],
        source: origin.store.output(trial.hasher(source).ref) if trained else "not trained",
    }
    differing = [
        f"{name} is {_short(value)} there, {_short(wanted[name])} in the trials"
        for name, value in present.items()
        if value != wanted[name]
    ]
    if differing:
        raise ExternalError(
            f"setting {record.setting} of the trials is not that of {origin.out}: "
            f"{'; '.join(differing)}; export the trials again, or name the folder they were "
            "exported from with --out"
        )
    return trial


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _SHORT else f"{text[:_SHORT]} …"


@dataclass(frozen=True, kw_only=True)
class _OtherCode(TargetCode, Crafting):
    """Stands in an attack for the parts that ran elsewhere."""

    needs_code: ClassVar[bool] = False

    def codes(self, *_: Any, **__: Any) -> Tensor:
        """Raise, because only what the part returned is known."""
        raise NotImplementedError

    perturb = codes


@dataclass(frozen=True, kw_only=True)
class External:
    """Reads the images or codes of other code. The key holds their hash instead of their path."""

    kind: Kind
    sha256: str
    shape: tuple[int, ...]
    dtype: str
    path: str = field(metadata={"key": False})
    of: str = field(metadata={"key": False})


@implements(STAGES["craft"], External, label=lambda task: f"read the {task.kind} of {task.of}")
def read_external(task: External, context: Context) -> Output:
    """Store ``images`` float ``[q, 3, S, S]``, unaudited, or ``codes`` int8 ``[q, K]``.

    Raises:
        ExternalError: they changed since the plan was made.
    """
    path = Path(task.path)
    if content_sha256(path, task.shape[0]) != task.sha256:
        raise ExternalError(f"{path} changed since the plan was made; run again")
    array, note = read_submission(task.kind, path, task.shape)
    array = np.array(array)  # in memory, not mapped
    if array.dtype == np.uint8:
        dtype = getattr(torch, task.dtype)
        array = to_pixels(array, context.device, dtype).cpu().numpy()
    return Output({task.kind: array}, {"device": None}, [note])  # made on an unknown device


def submit(origin: Origin, to: Path, cells: Sequence[Cell]) -> tuple[Plan, Manifest]:
    """Prepare a folder for the jobs of cells, and return their plan and the folder's new manifest.

    The manifest keeps what was scored in the folder before, but for cells of the same attack,
    source and trial.

    Raises:
        ExternalError: the folder belongs to another origin or run, or a hasher is not trained.
    """
    graphs = [graph for trial in origin.trials for graph, _ in trial.targets.values()]
    suite = origin.suite.model_copy(update={"name": f"{origin.suite.name}, attacked elsewhere"})
    plan = assemble(suite, cells, graphs)
    manifest = {**manifest_of(plan), _ORIGIN: str(origin.out.resolve())}
    with hold(to):
        before = read_manifest(to) if (to / MANIFEST).exists() else manifest
        if before.get(_ORIGIN) != manifest[_ORIGIN]:
            owner = f"scores on hashers of {before[_ORIGIN]}" if _ORIGIN in before else "a run"
            raise ExternalError(f"--to {to} holds {owner}; choose another folder")
        store = Store(to / "store")
        for job in plan.jobs.values():
            if job.stage in PREPARING:
                store.adopt(job.ref, origin.store)
        hashers = [job for job in plan.jobs.values() if STAGES[job.stage].makes_hasher]
        missing = [job.label for job in hashers if not store.is_done(job.ref)]
    if missing:
        raise ExternalError(f"{origin.out} has not yet done: {', '.join(missing)}; run it first")
    replaced = [_place(cell) for cell in manifest["cells"]]
    kept = [cell for cell in before["cells"] if _place(cell) not in replaced]
    merged = {name: {**before[name], **manifest[name]} for name in ("jobs", "protocols", "sides")}
    return plan, {**manifest, **merged, "cells": [*kept, *manifest["cells"]]}


def _place(cell: Manifest) -> list[Any]:
    """Return the values by which a cell replaces an earlier one."""
    return [cell["row"][name] for name in _PLACE]
