"""What is known about jobs while a graph runs, and how one is run; the store's word."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hashattack.benchmark.jobs import Job
from hashattack.benchmark.provenance import revision
from hashattack.benchmark.schedule.execution import Order, execute
from hashattack.benchmark.store.files import read_json
from hashattack.benchmark.store.folder import log_file, progress_file, take_over
from hashattack.benchmark.store.store import Store

# Whether a done job counts as done, by its provenance.
Trusts = Callable[[Job, Mapping[str, Any]], bool]


class Ledger(ABC):
    """What the graph loop asks about jobs. The defaults are of jobs that neither die nor tell."""

    @abstractmethod
    def verdict(self, job: Job) -> tuple[str, str] | None:
        """Return the status and reason a job already has, or None where it is to be run."""

    @abstractmethod
    def call(self, job: Job, torch_device: str) -> tuple[Callable[..., Any], dict[str, Any]]:
        """Return the function a worker runs for the job, and its arguments."""

    def tries(self, job: Job) -> int:  # noqa: ARG002 - a real run counts
        """Return how many attempts workers have started in this run."""
        return 0

    def finished(self, job: Job) -> bool:  # noqa: ARG002
        """Return whether this run has done the job, whatever became of its worker."""
        return False

    def progress(self, job: Job) -> tuple[int, int, str] | None:  # noqa: ARG002
        """Return how far a running job is: done, total, unit."""
        return None

    def halve(self, job: Job) -> bool:  # noqa: ARG002
        """Make the job's next attempt take half its batch; False where it cannot."""
        return False

    def visible(self, job: Job) -> bool:  # noqa: ARG002
        """Return whether the record of a job that a worker calls done can be read here."""
        return True

    def fail(self, job: Job, reason: str) -> str:  # noqa: ARG002
        """Record that the job failed for good; return the reason with where to read more."""
        return reason


@dataclass
class StoreLedger(Ledger):
    """The ledger of a real run: markers, records and progress files of an output folder."""

    out: Path
    cache: Path
    keep_failures: bool = False  # a failed job is a verdict, too
    trusts: Trusts = lambda _job, _made: True
    verify: bool = False  # hash every artifact
    run: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    def __post_init__(self) -> None:
        self._store = Store(self.out / "store")
        self._order = Order(self.run, self.out, self.cache, revision())
        self._halvings: Counter[str] = Counter()
        take_over(self.out, self.run)

    def verdict(self, job: Job) -> tuple[str, str] | None:
        """Return the status and reason a job has in the store from its present inputs."""
        inputs = {role: self._store.output(ref) for role, ref in job.inputs.items()}
        record = self._store.record(job.ref)
        if record is not None and not self.trusts(job, record["provenance"]):
            return None
        if self._store.is_current(job.ref, inputs, verify=self.verify):
            return "cached", ""
        failure = self._store.failure(job.ref)
        if failure is None:
            return None
        stands = self._store.is_invalid(job.ref, inputs)
        kept = self.keep_failures and failure["status"] == "failed"
        return (failure["status"], str(failure["reason"])) if stands or kept else None

    def call(self, job: Job, torch_device: str) -> tuple[Callable[..., Any], dict[str, Any]]:
        """Return :func:`hashattack.benchmark.schedule.execution.execute` and its arguments."""
        halvings = self._halvings[job.key]
        arguments = {"job": job, "order": self._order, "device": torch_device, "halvings": halvings}
        return execute, arguments

    def tries(self, job: Job) -> int:
        """Count the start markers of this run; attempts that ran out of memory are no tries."""
        return self._store.attempts(job.ref, self.run) - self._halvings[job.key]

    def finished(self, job: Job) -> bool:
        """Return whether the done record is of this run."""
        record = self._store.record(job.ref)
        return record is not None and record["provenance"].get("run") == self.run

    def progress(self, job: Job) -> tuple[int, int, str] | None:
        """Return what the worker last told."""
        told = read_json(progress_file(self.out, job.key))
        return None if told is None else (told["done"], told["total"], told["unit"])

    def halve(self, job: Job) -> bool:
        """Halve the batch of the next attempt."""
        halvings = self._halvings[job.key] + 1
        if not job.resources.divisible or not (job.resources.batch or 0) >> halvings:
            return False
        self._halvings[job.key] = halvings
        return True

    def visible(self, job: Job) -> bool:
        """Return whether this run's record is here: on a network file system it can be late."""
        return self.finished(job)

    def fail(self, job: Job, reason: str) -> str:
        """Leave a failed record that names the last attempt's log."""
        attempt = self._store.attempts(job.ref, self.run)
        if attempt:
            reason += f" (see {log_file(self.out, job.ref, self.run, attempt)})"
        self._store.fail(job.ref, "failed", reason)
        return reason
