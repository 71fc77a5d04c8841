"""What the output folder says about the jobs of a run, as the graph loop asks for it."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hashattack.benchmark.engines.base import Function
from hashattack.benchmark.jobs import Job
from hashattack.benchmark.provenance import revision
from hashattack.benchmark.schedule.execution import RunInfo, execute
from hashattack.benchmark.store.files import read_json
from hashattack.benchmark.store.folder import log_file, progress_file, take_over
from hashattack.benchmark.store.store import Store

# Whether a finished job counts as done, by its provenance.
Accepts = Callable[[Job, Mapping[str, Any]], bool]


@dataclass
class JobRecords:
    """Start markers, records and progress files of a run.

    Attributes:
        out: the output folder.
        cache: where data sets lie.
        keep_failures: a failed job is not run again.
        accepts: which finished jobs count as done.
        verify: hash every artifact, also those that seem unchanged.
        run: the identifier of this run.
    """

    out: Path
    cache: Path
    keep_failures: bool = False
    accepts: Accepts = lambda _job, _provenance: True
    verify: bool = False
    run: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    def __post_init__(self) -> None:
        self._store = Store(self.out / "store")
        self._run_info = RunInfo(self.run, self.out, self.cache, revision())
        self._halvings: Counter[str] = Counter()
        take_over(self.out, self.run)

    def known_status(self, job: Job) -> tuple[str, str] | None:
        """Return the status and reason that a job has already, or None where it must run."""
        inputs = {role: self._store.output(ref) for role, ref in job.inputs.items()}
        record = self._store.record(job.ref)
        if record is not None and not self.accepts(job, record["provenance"]):
            return None
        if self._store.is_current(job.ref, inputs, verify=self.verify):
            return "cached", ""
        failure = self._store.failure(job.ref)
        if failure is None:
            return None
        invalid = self._store.is_invalid(job.ref, inputs)
        kept = self.keep_failures and failure["status"] == "failed"
        return (failure["status"], str(failure["reason"])) if invalid or kept else None

    def call(self, job: Job, torch_device: str) -> tuple[Function, dict[str, Any]]:
        """Return the function that a worker runs for the job, and its arguments."""
        halvings = self._halvings[job.key]
        arguments = {"job": job, "run": self._run_info, "device": torch_device}
        return execute, {**arguments, "halvings": halvings}

    def tries(self, job: Job) -> int:
        """Return how many attempts this run has started, without those that ran out of memory."""
        return self._store.attempts(job.ref, self.run) - self._halvings[job.key]

    def finished(self, job: Job) -> bool:
        """Return whether the job has a done record of this run."""
        record = self._store.record(job.ref)
        return record is not None and record["provenance"].get("run") == self.run

    def progress(self, job: Job) -> tuple[int, int, str] | None:
        """Return how far a running job is: done, total, unit."""
        found = read_json(progress_file(self.out, job.key))
        return None if found is None else (found["done"], found["total"], found["unit"])

    def halve(self, job: Job) -> bool:
        """Halve the batch of the job's next attempt; return False where it cannot be halved."""
        halvings = self._halvings[job.key] + 1
        if not job.resources.divisible or not (job.resources.batch or 0) >> halvings:
            return False
        self._halvings[job.key] = halvings
        return True

    def fail(self, job: Job, reason: str) -> str:
        """Record that the job failed; return the reason with the name of the last log."""
        attempt = self._store.attempts(job.ref, self.run)
        if attempt:
            reason += f" (see {log_file(self.out, job.ref, self.run, attempt)})"
        self._store.fail(job.ref, "failed", reason)
        return reason
