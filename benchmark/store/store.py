"""The store: records and tensors of jobs, which alone say what is done. Imports no torch.

A job has a folder, ``store/<stage>/<key>/``. It writes, in this order and each atomically: a start
marker, its tensors (safetensors), a done record with the SHA-256 of the tensors and of the inputs
it read. A job is *current* if it has a record, its tensors match their hash and its inputs are
still those it read. Tensors are hashed whenever they are read; :meth:`Store.is_current` hashes
them only where their size or time of change differs from the record's. A record has a checksum of
its own: a damaged one counts as none.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from hashattack.benchmark.store.files import link_or_copy, stamp, write_bytes
from hashattack.datasets.errors import UserError
from hashattack.datasets.files import read_bytes, read_checked, write_checked
from hashattack.datasets.texts import one_line

logger = logging.getLogger(__name__)

Arrays = dict[str, npt.NDArray[Any]]
_TENSORS = "tensors.safetensors"
_DONE = "done.json"
_FAILED = "failed.json"


class CorruptArtifactError(UserError):
    """An artifact that does not match its recorded hash."""


@dataclass(frozen=True)
class JobRef:
    """The stage and key of a job, which name its folder."""

    stage: str
    key: str


class Store:
    """Atomic files under one folder, addressed by job."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, job: JobRef) -> Path:
        """Return the job's folder (which need not exist)."""
        return self.root / job.stage / job.key

    def tensors(self, job: JobRef) -> Path:
        """Return the safetensors file of a job (which need not exist)."""
        return self.folder(job) / _TENSORS

    def start(self, job: JobRef, run: str, about: Mapping[str, Any]) -> int:
        """Write a start marker and return the attempt's number within this run, from 1."""
        self.folder(job).mkdir(parents=True, exist_ok=True)
        attempt = self.attempts(job, run) + 1
        marker = self.folder(job) / f"start-{run}-{attempt}.json"
        write_checked(marker, {"attempt": attempt, "run": run, "time": time.time(), **about})
        return attempt

    def finish(
        self,
        job: JobRef,
        arrays: Arrays,
        data: Mapping[str, Any],
        inputs: Mapping[str, str],
        provenance: Mapping[str, Any],
    ) -> None:
        """Write the tensors, then the done record; the job is done when this returns."""
        content = save({name: np.asarray(array, order="C") for name, array in arrays.items()})
        path = self.tensors(job)
        write_bytes(path, content)
        record = {
            "stage": job.stage,
            "key": job.key,
            "status": "ok",
            "output": hashlib.sha256(content).hexdigest(),
            "stamp": stamp(path),
            "inputs": dict(inputs),
            "data": dict(data),
            "provenance": dict(provenance),
        }
        write_checked(self.folder(job) / _DONE, record)
        (self.folder(job) / _FAILED).unlink(missing_ok=True)

    def fail(
        self,
        job: JobRef,
        status: str,
        reason: str,
        *,
        data: Mapping[str, Any] | None = None,
        inputs: Mapping[str, str] | None = None,
    ) -> None:
        """Record that an attempt ended without a result, and why.

        An ``invalid`` job is not run again on the same inputs; a ``failed`` one is.
        """
        record = {
            "stage": job.stage,
            "key": job.key,
            "status": status,
            "reason": one_line(reason),
            "data": dict(data or {}),
            "inputs": dict(inputs or {}),
        }
        write_checked(self.folder(job) / _FAILED, record)
        (self.folder(job) / _DONE).unlink(missing_ok=True)

    def attempts(self, job: JobRef, run: str) -> int:
        """Return how many attempts this run has started."""
        return len(list(self.folder(job).glob(f"start-{run}-*.json")))

    def record(self, job: JobRef) -> dict[str, Any] | None:
        """Return the done record, or None; a damaged one counts as none."""
        return self._read(job, _DONE)

    def is_done(self, job: JobRef) -> bool:
        """Return whether there is a done record."""
        return self.record(job) is not None

    def failure(self, job: JobRef) -> dict[str, Any] | None:
        """Return the record of the last failed attempt, or None; a damaged one counts as none."""
        return self._read(job, _FAILED)

    def is_damaged(self, job: JobRef) -> bool:
        """Return whether there is a record that counts as none."""
        names = (name for name in (_DONE, _FAILED) if os.path.lexists(self.folder(job) / name))
        return any(self._read(job, name) is None for name in names)

    def _read(self, job: JobRef, name: str) -> dict[str, Any] | None:
        """Return a record; one of another job or another kind is damage, too."""
        found = read_checked(self.folder(job) / name) or {}
        done = found.get("status") == "ok"
        return found if found.get("key") == job.key and done == (name == _DONE) else None

    def arrays(self, job: JobRef) -> Arrays:
        """Return a done job's tensors, after checking them against their hash.

        Raises:
            CorruptArtifactError: no record, no tensors, or other bytes than were written.
        """
        record = self.record(job)
        path = self.tensors(job)
        try:
            content = read_bytes(path)
        except OSError as error:
            raise CorruptArtifactError(f"{path}: {error.strerror}") from error
        if record is None:
            raise CorruptArtifactError(f"{path} has no done record")
        if hashlib.sha256(content).hexdigest() != record["output"]:
            # Without its stamp the file is hashed at the next run, and made again.
            with contextlib.suppress(OSError):
                write_checked(self.folder(job) / _DONE, {**record, "stamp": None})
            raise CorruptArtifactError(
                f"{path} does not match its recorded SHA-256; the same command makes it again"
            )
        try:
            arrays: Arrays = load(content)
        except SafetensorError as error:
            raise CorruptArtifactError(f"{path}: {error}") from error
        return arrays

    def is_current(self, job: JobRef, inputs: Mapping[str, str], *, verify: bool = False) -> bool:
        """Return whether the job is done from exactly these inputs, its tensors intact.

        A job with a damaged record or damaged tensors is moved to quarantine and made again.

        Args:
            job: the job.
            inputs: SHA-256 of its inputs' tensors, by role.
            verify: hash the tensors also where their stamp is unchanged.
        """
        record = self.record(job)
        if record is None and self.is_damaged(job):
            self.quarantine(job)
        if record is None or record["inputs"] != dict(inputs):
            return False
        path = self.tensors(job)
        with contextlib.suppress(FileNotFoundError):  # any other error says nothing about the file
            if not verify and record["stamp"] == stamp(path):
                return True
            if path.is_file():
                with path.open("rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() == record["output"]:
                        return True
        self.quarantine(job)
        return False

    def state(self, job: JobRef) -> list[Any]:
        """Return the hash of a done job's tensors as its record has it, and their file's stamp."""
        return [self.output(job), stamp(self.tensors(job))]

    def is_invalid(self, job: JobRef, inputs: Mapping[str, str]) -> bool:
        """Return whether the job was found invalid on exactly these inputs."""
        failure = self.failure(job)
        return (
            failure is not None
            and failure["status"] == "invalid"
            and bool(failure["inputs"] == dict(inputs))
        )

    def output(self, job: JobRef) -> str:
        """Return the SHA-256 of a done job's tensors, as its record has it."""
        record = self.record(job)
        if record is None:
            raise CorruptArtifactError(f"{self.folder(job)} has no done record")
        return str(record["output"])

    def records(self, stage: str) -> Iterator[dict[str, Any]]:
        """Yield the done records of a stage, also of jobs that are in no plan any more."""
        for folder in sorted((self.root / stage).glob("*")):
            record = self.record(JobRef(stage, folder.name))
            if record is not None:
                yield record

    def adopt(self, job: JobRef, other: Store) -> None:
        """Take over a job that another store has done; nothing where it has not.

        Files are linked, or copied where they cannot be; no store changes a file in place. A
        different result of this store is replaced.
        """
        made, own = other.record(job), self.record(job)
        if made is None or (own is not None and own["output"] == made["output"]):
            return
        folder = self.folder(job)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _DONE).unlink(missing_ok=True)
        # The record last: a job without one is not done.
        for file in sorted(other.folder(job).iterdir(), key=lambda one: one.suffix == ".json"):
            if file.is_file() and not file.name.startswith((".", "start-", "failed")):
                link_or_copy(file, folder / file.name)

    def quarantine(self, job: JobRef) -> Path:
        """Move a damaged job folder aside and return where it went."""
        target = self.root / "quarantine" / f"{job.stage}-{job.key[:12]}-{time.time_ns()}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(self.folder(job), target)
        logger.warning(
            "%s %s: a damaged artifact was moved to %s and is computed again",
            job.stage,
            job.key[:12],
            target,
        )
        return target
