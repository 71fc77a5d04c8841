"""The store: the truth about what is done. Imports no torch.

One folder a job, ``store/<stage>/<key>/``. A job writes, in this order and each atomically: a
start marker, its tensors (safetensors), its done record with the tensors' SHA-256 and those of
the inputs it read. A job is *current* when its record is there, its tensors match their hash and
its inputs are still the ones it read; nothing else counts, least of all what a future said. What
is read is always hashed; what is only looked at, where its size or time of change is another.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
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

from hashattack.benchmark.store.files import read_json, stamp, write_bytes, write_json
from hashattack.datasets.errors import UserError

logger = logging.getLogger(__name__)

Arrays = dict[str, npt.NDArray[Any]]
_TENSORS = "tensors.safetensors"
_DONE = "done.json"
_FAILED = "failed.json"


class CorruptArtifactError(UserError):
    """An artifact that does not match its recorded hash."""


@dataclass(frozen=True)
class JobRef:
    """Where a job's files are: its stage and key."""

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

    # -- written by workers ----------------------------------------------------------------

    def start(self, job: JobRef, run: str, about: Mapping[str, Any]) -> int:
        """Write a start marker and return the attempt's number within this run, from 1."""
        self.folder(job).mkdir(parents=True, exist_ok=True)
        attempt = self.attempts(job, run) + 1
        marker = self.folder(job) / f"start-{run}-{attempt}.json"
        write_json(marker, {"attempt": attempt, "run": run, "time": time.time(), **about})
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
        write_json(self.folder(job) / _DONE, record)
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

        An ``invalid`` attempt is a verdict that stands while its inputs do; a ``failed`` one is
        tried again by the next run.
        """
        record = {
            "stage": job.stage,
            "key": job.key,
            "status": status,
            "reason": reason,
            "data": dict(data or {}),
            "inputs": dict(inputs or {}),
        }
        write_json(self.folder(job) / _FAILED, record)
        (self.folder(job) / _DONE).unlink(missing_ok=True)

    # -- read by everyone ------------------------------------------------------------------

    def attempts(self, job: JobRef, run: str) -> int:
        """Return how many attempts this run has started."""
        return len(list(self.folder(job).glob(f"start-{run}-*.json")))

    def record(self, job: JobRef) -> dict[str, Any] | None:
        """Return the done record, or None; an unreadable one counts as none."""
        return read_json(self.folder(job) / _DONE)

    def is_done(self, job: JobRef) -> bool:
        """Return whether there is a done record, unread."""
        return (self.folder(job) / _DONE).is_file()

    def failure(self, job: JobRef) -> dict[str, Any] | None:
        """Return the record of the last failed attempt, or None."""
        return read_json(self.folder(job) / _FAILED)

    def arrays(self, job: JobRef) -> Arrays:
        """Return a done job's tensors, after checking them against their hash.

        Raises:
            CorruptArtifactError: no record, no tensors, or other bytes than were written.
        """
        record = self.record(job)
        path = self.tensors(job)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise CorruptArtifactError(f"{path}: {error.strerror}") from error
        if record is None:
            raise CorruptArtifactError(f"{path} has no done record")
        if hashlib.sha256(content).hexdigest() != record["output"]:
            # Without its stamp the file is hashed when it is next looked at, and made again.
            with contextlib.suppress(OSError):
                write_json(self.folder(job) / _DONE, {**record, "stamp": None})
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

        Damaged tensors are moved to quarantine, so that the job is made again.

        Args:
            job: which.
            inputs: SHA-256 of its inputs' tensors, by role.
            verify: hash the tensors also where nothing says that they changed.
        """
        record = self.record(job)
        if record is None or record["inputs"] != dict(inputs):
            return False
        path = self.tensors(job)
        try:
            if not verify and record.get("stamp") == stamp(path):
                return True
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:  # any other error says nothing about the file
            found = ""
        intact = bool(found == record["output"])
        if not intact:
            self.quarantine(job)
        return intact

    def state(self, job: JobRef) -> list[Any]:
        """Return a done job's output hash, and the stamp of the file that it was the hash of."""
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
        """Yield the done records of a stage, also of jobs that no plan names any more."""
        for path in sorted((self.root / stage).glob(f"*/{_DONE}")):
            record = read_json(path)
            if record is not None:
                yield record

    def keys(self, stage: str) -> Iterator[str]:
        """Yield the keys of a stage's done jobs, also of those that no plan names any more."""
        for path in sorted((self.root / stage).glob(f"*/{_DONE}")):
            yield path.parent.name

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
