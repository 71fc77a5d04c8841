"""From images or codes of other code to the cells and jobs that hash and score them."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from hashattack.attacks.base import Attack, Batch, Crafting, Knowledge, TargetCode
from hashattack.benchmark.external import ExternalError
from hashattack.benchmark.external.export import TrialFile, TrialRecord
from hashattack.benchmark.external.submission import (
    SUFFIXES,
    Kind,
    content_sha256,
    read_submission,
)
from hashattack.benchmark.external.trials import Origin, Record, Trial, TrialIdentity
from hashattack.benchmark.jobs import Context, Job, Output, implements
from hashattack.benchmark.names import nearest
from hashattack.benchmark.pipeline import STAGES
from hashattack.benchmark.plan.cells import Cell, describe, obstacle
from hashattack.benchmark.plan.plan import Plan, assemble
from hashattack.benchmark.registry import registry
from hashattack.benchmark.results.adoption import adopt
from hashattack.benchmark.store.files import write_json
from hashattack.benchmark.store.folder import hold
from hashattack.benchmark.store.store import Store
from hashattack.benchmark.suites.suite import faults
from hashattack.datasets.base import IntArray, UInt8Array
from hashattack.targets.hasher import Hasher
from hashattack.targets.training import to_pixels

_FILE = "submissions.json"
_SHORT = 24  # characters of a value in a message
_NAME = re.compile(r"[A-Za-z0-9][\w.+-]*")
_UPSTREAM = ("weights", "import", "pretrain", "train")  # of these nothing is made here


class ScoreRequest(Record):
    """Images or codes of one attack on one source."""

    kind: Kind
    path: Path
    attack: str  # the name of what made them, in results
    title: str  # in reports
    source: str  # the target they were made on
    epsilon: float | None  # the declared budget in pixels of [0, 1]
    victims: Sequence[str]  # globs of targets; empty for the source itself

    def submissions(
        self, trials: TrialFile, origin: Origin, setting: int | None = None
    ) -> list[Submission]:
        """Read and check everything, and return what is to be scored.

        Args:
            trials: what they were made for.
            origin: the folder that the trials were exported from.
            setting: one of the trials' settings, which ``path`` is of; without, ``path`` has a
                folder or file per setting where the trials have several.

        Raises:
            ExternalError: trials of another folder, or images or codes that do not fit them; the
                faults of all settings at once.
        """
        if not _NAME.fullmatch(self.attack) or self.attack in registry().attacks:
            raise ExternalError(
                f"--attack {self.attack}: take letters, digits, dashes and dots, and no attack of "
                "this program; --title takes any text"
            )
        if not self.path.exists():
            raise ExternalError(f"{self.path}: no such file or folder")
        records, made, errors = self._records(trials, setting), [], []
        for record in records:
            try:
                path = self.path if len(records) == 1 else self._path_of(record)
                made.append(self._submission(record, origin, path.resolve()))
            except ExternalError as error:
                errors.append(str(error))
        if errors:
            raise ExternalError("\n".join(errors))
        return made

    def _records(self, trials: TrialFile, setting: int | None) -> list[TrialRecord]:
        """Return the settings that are requested."""
        having = [one for one in trials.settings if self.source in one.source_names]
        chosen = [one for one in having if setting in (None, one.setting)]
        if not chosen:
            wanted = "" if setting is None else f" --setting {setting}"
            known = {name for one in trials.settings for name in one.source_names}
            listed = "\n".join(f"  {one.summary}" for one in trials.settings)
            raise ExternalError(
                f"--source {self.source}{wanted}: not in the trials{nearest(self.source, known)}; "
                f"there is\n{listed}"
            )
        return chosen

    def _path_of(self, record: TrialRecord) -> Path:
        """Return the folder or file of one of several settings, which is named by its number."""
        for suffix in ("", *SUFFIXES[self.kind]):
            path = self.path / f"{record.setting}{suffix}"
            if path.exists():
                return path
        raise ExternalError(
            f"{self.path}: has no folder or file named by the number of setting {record.summary}; "
            "add it, or choose one setting with --setting N"
        )

    def _submission(self, record: TrialRecord, origin: Origin, path: Path) -> Submission:
        trial = matching_trial(record, origin, self.source)
        for glob in self.victims:
            if not fnmatch.filter(trial.targets, glob):
                listed = ", ".join(trial.targets)
                raise ExternalError(f"--victim {glob}: no such target; there is {listed}")
        globs = self.victims or [self.source]
        read_submission(self.kind, path, _shape(self.kind, trial, self.source))
        resolved = {
            "path": path,
            "victims": [v for v in trial.targets if any(fnmatch.fnmatchcase(v, g) for g in globs)],
            "sha256": content_sha256(path, record.n_queries),
            "trial": trial.identity,
        }
        return Submission(**{**dict(self), **resolved})


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
        "targets": [np.flatnonzero(row).tolist() for row in trial.target_labels],
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


class Submission(ScoreRequest):
    """A request for the queries of one trial, with its path absolute and its victims named."""

    sha256: str  # of the content
    trial: TrialIdentity

    def cells(self, trial: Trial) -> Iterator[Cell]:
        """Yield a cell per victim, described, hashed and scored like those of any attack."""
        graph, source = trial.targets[self.source]
        part = _OtherCode()
        attack = Attack(
            id=self.attack,
            title=self.title,
            target_code=part,
            crafting=None if self.kind == "codes" else part,
            epsilon=self.epsilon,
        )
        task = External(
            kind=self.kind,
            sha256=self.sha256,
            shape=_shape(self.kind, trial, self.source),
            dtype=graph.suite.compute.dtype,
            path=str(self.path),
            of=f"{self.title} on {self.source}",
        )
        craft = Job.of(task, {})
        graph.jobs[craft.key] = craft  # replaces a job of equal content at an earlier path
        for home, victim in (trial.targets[name] for name in self.victims):
            row = describe(graph, trial.setting, attack, source, victim)
            row |= {"learns": None, "overrides": "", "variant": ""}  # unknown, and none
            if (reason := obstacle(attack, source, victim)) is not None:
                yield Cell(row, {}, reason)
            else:
                yield Cell(row, home.chain(trial.setting, craft, attack, source, victim))


@dataclass(frozen=True, kw_only=True)
class _OtherCode(TargetCode, Crafting):
    """Stands in an attack for the parts that ran elsewhere."""

    def codes(self, knowledge: Knowledge, targets: UInt8Array, rows: IntArray, seed: int) -> Tensor:
        """Never called: only what it returned is known."""
        raise NotImplementedError

    def perturb(self, batch: Batch, hasher: Hasher, epsilon: float | None) -> Tensor:
        """Never called: only what it returned is known."""
        raise NotImplementedError


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _SHORT else f"{text[:_SHORT]} …"


def _shape(kind: Kind, trial: Trial, source: str) -> tuple[int, ...]:
    """Return the shape that the array of a submission must have."""
    graph, target = trial.targets[source]
    count, side = graph.n_queries, graph.data.side
    return (count, 3, side, side) if kind == "images" else (count, target.spec.bits)


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


class _Kept(Record):
    """The content of a folder's ``submissions.json``."""

    origin: str
    submissions: list[Submission]


def submit(origin: Origin, to: Path, new: Sequence[Submission]) -> tuple[Plan, Plan]:
    """Add submissions to a folder, with the jobs they need, and return its plan and theirs.

    One with the attack, source and trial of an earlier one replaces it.

    Raises:
        ExternalError: the folder belongs to another origin or run, or a hasher is not trained.
    """
    with hold(to):
        known = {(one.attack, one.source, one.trial): one for one in [*_kept(origin, to), *new]}
        listed = list(known.values())
        whole, plan = _plan(origin, listed), _plan(origin, new)
        adopt(whole.jobs.values(), origin.out, to)
        store = Store(to / "store")
        upstream = [job for job in whole.jobs.values() if job.stage in _UPSTREAM]
        missing = [job.label for job in upstream if not store.is_done(job.ref)]
        if missing:
            raise ExternalError(
                f"{origin.out} has not yet done: {', '.join(missing)}; run it first"
            )
        kept = _Kept(origin=str(origin.out.resolve()), submissions=listed)
        write_json(to / _FILE, kept.model_dump(mode="json"))
    return whole, plan


def _plan(origin: Origin, submissions: Sequence[Submission]) -> Plan:
    trials = {trial.identity: trial for trial in origin.trials}
    cells: list[Cell] = []
    for one in submissions:
        trial = trials.get(one.trial)
        if trial is None or {one.source, *one.victims} - set(trial.targets):
            raise ExternalError(
                f"{one.title} on {one.source} was scored on trials that {origin.out} no longer "
                "has; choose another --to"
            )
        cells += one.cells(trial)
    graphs = [graph for trial in origin.trials for graph, _ in trial.targets.values()]
    suite = origin.suite.model_copy(update={"name": f"{origin.suite.name}, attacked elsewhere"})
    return assemble(suite, cells, graphs)


def _kept(origin: Origin, to: Path) -> list[Submission]:
    """Return the submissions that the folder holds already.

    Raises:
        ExternalError: it belongs to another origin or run, or its list is damaged.
    """
    if not (to / _FILE).exists():
        if (to / "plan.json").exists():
            raise ExternalError(f"--to {to} holds a run, and no {_FILE}; choose another folder")
        return []
    try:
        kept = _Kept.model_validate_json((to / _FILE).read_bytes())
    except ValidationError as error:
        listed = "\n".join(f"{to / _FILE}: {line}" for line in faults(error, model=_Kept))
        raise ExternalError(
            f"{listed}\nit lists what was scored in that folder, whose rows would be lost: restore "
            "it, or choose another --to"
        ) from None
    if kept.origin != str(origin.out.resolve()):
        raise ExternalError(
            f"--to {to} holds scores on hashers of {kept.origin}; choose another folder"
        )
    return kept.submissions
