"""What was handed over, kept in the folder that scores it, and the plan of its cells."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from hashattack.benchmark.external.errors import OutsideError
from hashattack.benchmark.external.export import IMAGE
from hashattack.benchmark.external.external import ExternalCodes, ExternalImages
from hashattack.benchmark.external.trials import Origin, Trial
from hashattack.benchmark.jobs import Job
from hashattack.benchmark.plan.cells import Cell, circumstances, declared_class
from hashattack.benchmark.plan.plan import Plan, assemble
from hashattack.benchmark.results.adoption import adopt
from hashattack.benchmark.results.manifest import read_manifest
from hashattack.benchmark.results.stored_suite import EXTERNAL
from hashattack.benchmark.store.files import write_json
from hashattack.benchmark.store.folder import hold
from hashattack.benchmark.store.keys import canonical_json
from hashattack.benchmark.store.store import Store
from hashattack.benchmark.suites.suite import faults

_NAME = "submissions.json"
_UPSTREAM = ("weights", "import", "pretrain", "train")  # nothing of it is made here


class Submission(BaseModel):
    """Images or codes of one attack on one source, for the queries of one trial."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    attack: str
    title: str
    kind: Literal["images", "codes"]
    path: str
    sha256: str
    source: str
    victims: list[str]
    epsilon: float | None
    trial: dict[str, Any]  # its identity

    @property
    def place(self) -> tuple[str, ...]:
        """What a later one of takes the place of an earlier."""
        return self.attack, self.source, canonical_json(self.trial)

    def cells(self, trial: Trial) -> Iterator[Cell]:
        """Yield a cell for every victim."""
        graph, source = trial.homes[self.source]
        of = f"{self.title} on {self.source}"
        craft = Job.of(self._task(trial, of), {})
        graph.jobs[craft.key] = craft  # of equal content at two places, the last is there
        code_only = self.kind == "codes"
        for name in self.victims:
            home, victim = trial.homes[name]
            compute = graph.compute(source.spec.backbone)
            params = {} if self.epsilon is None else {"epsilon": self.epsilon}
            row = {
                **circumstances(graph, trial.setting, source, victim, compute),
                "attack": self.attack,
                "title": self.title,
                "role": "",
                "targeted": True,
                "code_only": code_only,
                "learns": None,  # unknown
                "params": canonical_json(params),
                "budget_class": "code" if code_only else declared_class(self.epsilon),
                "epsilon": self.epsilon,
                "overrides": "",
                "variant": "",
            }
            if code_only and source.spec.bits != victim.spec.bits:
                reason = (
                    f"a {source.spec.bits}-bit code cannot query a {victim.spec.bits}-bit database"
                )
                yield Cell(row, {}, reason)
                continue
            judged = home.judged(
                trial.setting,
                craft,
                source,
                victim,
                of=of,
                epsilon=self.epsilon,
                code_only=code_only,
            )
            yield Cell(row, {"craft": craft, **judged})

    def _task(self, trial: Trial, of: str) -> ExternalImages | ExternalCodes:
        graph, source = trial.homes[self.source]
        count = graph.n_queries
        if self.kind == "codes":
            return ExternalCodes(
                sha256=self.sha256, n_queries=count, bits=source.spec.bits, path=self.path, of=of
            )
        return ExternalImages(
            sha256=self.sha256,
            n_queries=count,
            side=graph.data.side,
            dtype=graph.suite.compute.dtype,
            path=self.path,
            names=query_names(count),
            of=of,
        )


class _Kept(BaseModel):
    """The file that a folder keeps of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    origin: str
    submissions: list[Submission]


def query_names(count: int) -> tuple[str, ...]:
    """Return the names of the queries' files, by row."""
    return tuple(IMAGE.format(row=row) for row in range(count))


def victims_of(trial: Trial, source: str, globs: Sequence[str]) -> list[str]:
    """Return the targets that globs name, in the suite's order; the source without any.

    Raises:
        OutsideError: a glob matches none.
    """
    for glob in globs:
        if not fnmatch.filter(trial.homes, glob):
            raise OutsideError(
                f"--victim {glob}: no such target; there is {', '.join(trial.homes)}"
            )
    wanted = globs or [source]
    return [name for name in trial.homes if any(fnmatch.fnmatchcase(name, g) for g in wanted)]


def submit(origin: Origin, to: Path, new: Sequence[Submission]) -> tuple[Plan, Plan]:
    """Add submissions to a folder, with what they stand on, and return its plan and theirs.

    One with the attack, source and trial of an earlier one takes its place.

    Raises:
        OutsideError: the folder belongs to another, or a hasher is not trained.
    """
    with hold(to):
        known = {one.place: one for one in _kept(origin, to)}
        listed = list({**known, **{one.place: one for one in new}}.values())
        whole = _plan(origin, listed)
        plan = _plan(origin, new)
        _adopt(origin, to, whole)
        kept = _Kept(origin=str(origin.out.resolve()), submissions=listed)
        write_json(to / _NAME, kept.model_dump(mode="json"))
    return whole, plan


def _plan(origin: Origin, submissions: Sequence[Submission]) -> Plan:
    trials = {canonical_json(trial.identity): trial for trial in origin.trials}
    cells: list[Cell] = []
    for one in submissions:
        trial = trials.get(canonical_json(one.trial))
        if trial is None or {one.source, *one.victims} - set(trial.homes):
            raise OutsideError(
                f"{one.title} on {one.source} was scored on trials that {origin.out} no longer "
                "has; choose another --to"
            )
        cells += one.cells(trial)
    graphs = [graph for trial in origin.trials for graph, _ in trial.homes.values()]
    suite = origin.suite.model_copy(update={"name": f"{origin.suite.name}, attacked elsewhere"})
    jobs: dict[str, Job] = {key: job for graph in graphs for key, job in graph.jobs.items()}
    return assemble(suite, cells, jobs, graphs)


def _kept(origin: Origin, to: Path) -> list[Submission]:
    """Return what the folder holds already.

    Raises:
        OutsideError: it is another's.
    """
    if to.resolve() == origin.out.resolve():
        raise OutsideError(f"--to {to} is the folder of the run itself; choose another")
    if (to / "plan.json").exists():
        crafts = [job for job in read_manifest(to)["jobs"].values() if job["stage"] == "craft"]
        if not all(job["task"]["type"] in EXTERNAL for job in crafts):
            raise OutsideError(f"--to {to} holds a run; choose another folder")
    try:
        kept = _Kept.model_validate_json((to / _NAME).read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, ValidationError) as error:
        lines = faults(error, model=_Kept) if isinstance(error, ValidationError) else [str(error)]
        told = "\n".join(f"{to / _NAME}: {line}" for line in lines)
        raise OutsideError(
            f"{told}\nit lists what was scored in that folder, whose rows would be lost: restore "
            "it, choose another --to, or delete the file to begin anew"
        ) from None
    if kept.origin != str(origin.out.resolve()):
        raise OutsideError(
            f"--to {to} holds scores on hashers of {kept.origin}; choose another folder"
        )
    return kept.submissions


def _adopt(origin: Origin, to: Path, plan: Plan) -> None:
    """Take over what the hashers' folder has done; no hasher is trained again here."""
    adopt(plan.jobs.values(), origin.out, to)
    store = Store(to / "store")
    missing = [
        job.label
        for job in plan.jobs.values()
        if job.stage in _UPSTREAM and not store.is_done(job.ref)
    ]
    if missing:
        raise OutsideError(f"{origin.out} has not yet done: {', '.join(missing)}; run it first")
