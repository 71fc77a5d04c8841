"""The manifest of a run: its cells and jobs as plain data, so that reports need no torch."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hashattack.attacks.protocols import PROTOCOLS
from hashattack.benchmark.columns import COLUMNS, names_of
from hashattack.benchmark.pipeline import IN_ROW
from hashattack.benchmark.store.keys import canonical
from hashattack.benchmark.store.files import read_json, write_json
from hashattack.benchmark.store.store import JobRef, Store
from hashattack.datasets.errors import UserError

if TYPE_CHECKING:
    from hashattack.benchmark.plan.plan import Plan

MANIFEST = "plan.json"
Manifest = dict[str, Any]
# What a row without a result may have: an attack that fails can say what it likes, but not score.
MEASURED = names_of("distortion")
MISSING = "missing"  # the status of a cell that has neither result nor reason


class NoRunError(UserError):
    """A folder that holds no run."""


def write_manifest(plan: Plan, out: Path) -> None:
    """Write :func:`manifest_of` a plan to ``plan.json``."""
    write_json(out / MANIFEST, manifest_of(plan), ordered=True)  # as overrides stand in the rows


def manifest_of(plan: Plan) -> dict[str, Any]:
    """Return what a plan crosses and which jobs fill each cell.

    Beside the suite stand what it leaves out when it is dumped, the ``parts`` it is the union of,
    and what its values are to be read with: the working ``folder`` that relative paths start from,
    the values of its ``protocols``, and the ``sides`` of the images by fingerprint.
    """
    cells = [
        {
            "row": dict(cell.row),
            "jobs": {stage: job.key for stage, job in cell.jobs.items()},
            "skipped": cell.skipped,
        }
        for cell in plan.cells
    ]
    jobs = {
        key: {
            "stage": job.stage,
            "label": job.label,
            "task": canonical(job.task),
            "inputs": {role: ref.key for role, ref in job.inputs.items()},
        }
        for key, job in plan.jobs.items()
    }
    return {
        "suite": plan.suite.model_dump(mode="json"),
        "parts": [part.model_dump(mode="json") for part in plan.suite.parts],
        "folder": str(Path.cwd()),
        "protocols": {name: canonical(PROTOCOLS[name]) for name in _protocols(plan)},
        "sides": {fingerprint: data.side for fingerprint, data in plan.data.items()},
        "cells": cells,
        "jobs": jobs,
    }


def _protocols(plan: Plan) -> list[str]:
    suites = plan.suite.parts or [plan.suite]
    return sorted({name for suite in suites for name in suite.protocols})


def read_manifest(out: Path) -> dict[str, Any]:
    """Return the manifest of a folder: ``suite``, ``cells``, ``jobs`` and what stands beside them.

    Raises:
        NoRunError: there is none.
    """
    manifest = read_json(out / MANIFEST)
    if manifest is None:
        raise NoRunError(f"{out} holds no run (no {MANIFEST}); name an output folder with --out")
    return manifest


def suite_tables(out: Path) -> list[str]:
    """Return the tables of the paper that the run's suite fills."""
    manifest = read_json(out / MANIFEST) or {}
    return list(manifest.get("suite", {}).get("tables", []))


def result_rows(out: Path, manifest: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return one row for every cell; one that has not been run says so in its status.

    Args:
        out: the output folder.
        manifest: the cells asked for; None for those of the folder.

    Raises:
        NoRunError: the folder has no manifest.
    """
    manifest = manifest or read_manifest(out)
    records = _Records(Store(out / "store"), manifest["jobs"])
    return [_row(cell, records) for cell in manifest["cells"]]


class _Records:
    """What a store says of the jobs of a manifest, each read once."""

    def __init__(self, store: Store, jobs: dict[str, Any]) -> None:
        self._store, self.jobs = store, jobs
        self.record = functools.cache(self._record)
        self.failure = functools.cache(self._failure)
        self.stale = functools.cache(self._stale)

    def _record(self, key: str) -> dict[str, Any] | None:
        return self._store.record(JobRef(self.jobs[key]["stage"], key))

    def _failure(self, key: str) -> dict[str, Any] | None:
        """Return why a job has no result, if it was tried."""
        failed = self._store.failure(JobRef(self.jobs[key]["stage"], key))
        return failed if self.record(key) is None else None

    def _stale(self, key: str) -> bool:
        """Whether what a job stands on failed since, or was made anew with another result."""
        made = (self.record(key) or {"inputs": {}})["inputs"]
        for role, before in self.jobs[key]["inputs"].items():
            record = self.record(before)
            if self.failure(before) is not None or self.stale(before):
                return True
            if record is not None and made.get(role, record["output"]) != record["output"]:
                return True
        return False

    def notes(self, key: str) -> str:
        """Return what a reader of the row must know about how a job ran."""
        record = self.record(key) or {"provenance": {}}
        return "; ".join(record["provenance"].get("notes", ()))


def _row(cell: dict[str, Any], records: _Records) -> dict[str, Any]:
    row = dict(cell["row"])
    if cell["skipped"] is not None:
        return {**row, "status": "skipped", "reason": cell["skipped"]}
    chain = {stage: cell["jobs"][stage] for stage in IN_ROW if stage in cell["jobs"]}
    row["job_key"] = chain["score"]
    for stage, key in chain.items():
        record = records.record(key)
        if record is not None and not records.stale(key):
            if stage == "craft":
                row["device"] = record["provenance"]["device"]
            row.update(_columns(record["data"]))
    upstream = _upstream(chain["score"], records.jobs)
    row["notes"] = "; ".join(filter(None, map(records.notes, upstream)))
    if records.record(chain["score"]) is not None and not records.stale(chain["score"]):
        return {**row, "status": "ok", "reason": ""}
    for key in upstream:
        failure = records.failure(key)
        if failure is not None:
            row.update(
                {name: failure["data"][name] for name in MEASURED if name in failure["data"]}
            )
            reason = f"{records.jobs[key]['label']}: {failure['reason']}"
            return {**row, "status": failure["status"], "reason": reason}
    return {**row, "status": MISSING, "reason": "not run yet"}


def _columns(data: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name in COLUMNS}


def _upstream(key: str, jobs: dict[str, Any]) -> list[str]:
    """Return the job and all it stands on, inputs first."""
    ordered: dict[str, None] = {}

    def visit(one: str) -> None:
        for before in jobs[one]["inputs"].values():
            if before not in ordered:
                visit(before)
        ordered[one] = None

    visit(key)
    return list(ordered)
