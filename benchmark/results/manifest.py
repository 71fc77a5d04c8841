"""The manifest of a run, and its result rows. Imports no torch.

The manifest (``plan.json``) has the cells and jobs of a plan as plain data.
"""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hashattack.attacks.protocols import PROTOCOLS
from hashattack.benchmark.columns import COLUMNS, names_of
from hashattack.benchmark.pipeline import IN_ROW, STAGES
from hashattack.benchmark.store.keys import canonical
from hashattack.benchmark.store.store import JobRef, Store
from hashattack.datasets.errors import UserError
from hashattack.datasets.files import read_bytes, read_checked, write_checked

if TYPE_CHECKING:
    from hashattack.benchmark.plan.plan import Plan

FORMAT = 4  # of an output folder; raise it when an older one would be misread
MANIFEST = "plan.json"
Manifest = dict[str, Any]
# The metrics that a row without a result may have: those that are measured before scoring.
MEASURED = names_of("distortion")
MISSING = "missing"  # the status of a cell that has neither result nor reason


class NoRunError(UserError):
    """A folder that holds no run."""


class DamagedRunError(UserError):
    """A folder whose manifest is damaged."""


class FolderFormatError(UserError):
    """An output folder that another version of this program wrote."""


def write_manifest(manifest: Manifest, out: Path) -> None:
    """Write a manifest to ``plan.json``.

    Raises:
        FolderFormatError: another version of this program wrote to the folder.
    """
    _check_format(out)
    write_checked(out / MANIFEST, manifest)


def manifest_of(plan: Plan) -> Manifest:
    """Return the cells and jobs of a plan, and what it takes to restore its suite.

    That is the ``suite`` with the ``parts`` it is the union of, the values of its ``protocols``,
    and, by fingerprint, the ``sides`` of the images and the names of the ``classes``, which reports
    show and no result depends on.
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
        "format": FORMAT,
        "suite": plan.suite.model_dump(mode="json"),
        "parts": [part.model_dump(mode="json") for part in plan.suite.parts],
        "protocols": {name: canonical(PROTOCOLS[name]) for name in _protocols(plan)},
        "sides": {fingerprint: data.side for fingerprint, data in plan.data.items()},
        "classes": {fingerprint: data.class_names for fingerprint, data in plan.data.items()},
        "cells": cells,
        "jobs": jobs,
    }


def _protocols(plan: Plan) -> list[str]:
    suites = plan.suite.parts or [plan.suite]
    return sorted({name for suite in suites for name in suite.protocols})


def read_manifest(out: Path) -> Manifest:
    """Return the manifest of a folder; see :func:`manifest_of`.

    Raises:
        NoRunError: there is none.
        DamagedRunError: it is not as it was written.
        FolderFormatError: another version of this program wrote it.
    """
    file = out / MANIFEST
    manifest = read_checked(file)
    if manifest is not None and manifest.get("format") == FORMAT:
        return manifest
    if not os.path.lexists(file):
        raise NoRunError(f"{out} holds no run (no {MANIFEST}); name a run's output folder")
    _check_format(out)
    raise DamagedRunError(
        f"{file} is damaged; remove it, and run the command that made it again: finished jobs are "
        "kept"
    )


def _check_format(out: Path) -> None:
    """Refuse a manifest of another format, which need not have this one's checksum."""
    try:
        found = json.loads(read_bytes(out / MANIFEST)).get("format", FORMAT)
    except (OSError, ValueError, RecursionError, AttributeError):  # absent or damaged
        return
    if found != FORMAT:
        raise FolderFormatError(
            f"{out} was written by another version of this program (format {found}, this one is "
            f"{FORMAT}): read it with that version, or run the suite in another folder"
        )


def suite_tables(out: Path) -> list[str]:
    """Return the tables of the paper that the run's suite fills."""
    return list(read_manifest(out)["suite"].get("tables", []))


def result_rows(out: Path, manifest: Manifest | None = None) -> list[dict[str, Any]]:
    """Return one row for every cell, with the status ``missing`` where it has not been run.

    Args:
        out: the output folder.
        manifest: the cells; None for those of the folder.

    Raises:
        NoRunError: the folder has no manifest.
    """
    manifest = manifest or read_manifest(out)
    records = _Records(Store(out / "store"), manifest["jobs"])
    return [_row(cell, records) for cell in manifest["cells"]]


class _Records:
    """The records of the jobs of a manifest, each read once."""

    def __init__(self, store: Store, jobs: dict[str, Any]) -> None:
        self._store, self.jobs = store, jobs
        self.record = functools.cache(self._record)
        self.failure = functools.cache(self._failure)
        self.stale = functools.cache(self._stale)

    def _ref(self, key: str) -> JobRef:
        return JobRef(self.jobs[key]["stage"], key)

    def _record(self, key: str) -> dict[str, Any] | None:
        return self._store.record(self._ref(key))

    def _failure(self, key: str) -> dict[str, Any] | None:
        """Return why a job has no result, if it was tried."""
        failed = self._store.failure(self._ref(key))
        return failed if self.record(key) is None else None

    def damaged(self, key: str) -> bool:
        """Return whether the record of a job is damaged."""
        return self.record(key) is None and self._store.is_damaged(self._ref(key))

    def _stale(self, key: str) -> bool:
        """Whether an input of a job failed since, or was made again with another result."""
        made = (self.record(key) or {"inputs": {}})["inputs"]
        for role, before in self.jobs[key]["inputs"].items():
            record = self.record(before)
            if self.failure(before) is not None or self.stale(before):
                return True
            if record is not None and made.get(role, record["output"]) != record["output"]:
                return True
        return False

    def notes(self, key: str) -> str:
        """Return the notes of a job for its row."""
        record = self.record(key) or {"provenance": {}}
        return "; ".join(record["provenance"].get("notes", ()))


def _row(cell: dict[str, Any], records: _Records) -> dict[str, Any]:
    row = dict(cell["row"])
    if cell["skipped"] is not None:
        return {**row, "status": "skipped", "reason": cell["skipped"]}
    chain = {stage: cell["jobs"][stage] for stage in IN_ROW if stage in cell["jobs"]}
    row["job_key"] = chain["score"]
    upstream = _upstream(chain["score"], records.jobs)
    for key in upstream:
        if records.damaged(key):
            reason = f"{records.jobs[key]['label']}: its record is damaged; run it again"
            return {**row, "status": "failed", "reason": reason}
    for stage, key in chain.items():
        record = records.record(key)
        if record is not None and not records.stale(key):
            if stage == "craft":
                row["device"] = record["provenance"]["device"]
            row.update({name: v for name, v in record["data"].items() if name in COLUMNS})
    row["notes"] = "; ".join(filter(None, map(records.notes, upstream)))
    done = all(records.record(key) is not None for key in chain.values())
    if done and not records.stale(chain["score"]):
        return {**row, "status": "ok", "reason": ""}
    for key in upstream:
        failure = records.failure(key)
        if failure is not None:
            job = records.jobs[key]
            measured = {} if STAGES[job["stage"]].attacker else failure["data"]
            row.update({name: measured[name] for name in MEASURED if name in measured})
            reason = f"{job['label']}: {failure['reason']}"
            return {**row, "status": failure["status"], "reason": reason}
    return {**row, "status": MISSING, "reason": "not run yet"}


def _upstream(key: str, jobs: dict[str, Any]) -> list[str]:
    """Return a job and all jobs it needs, inputs first."""
    ordered: dict[str, None] = {}

    def visit(one: str) -> None:
        for before in jobs[one]["inputs"].values():
            if before not in ordered:
                visit(before)
        ordered[one] = None

    visit(key)
    return list(ordered)
