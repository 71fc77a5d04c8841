"""A job: a frozen task, its key, and what it may use while it runs.

The key is the SHA-256 of canonical JSON of (stage, version, the task's fields, keys of the
inputs). Code revision, host and device are provenance, never part of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch

from hashattack.benchmark.engines.base import HARNESS
from hashattack.benchmark.numerics import Precision
from hashattack.benchmark.store.journal import Journal
from hashattack.benchmark.store.keys import digest
from hashattack.benchmark.store.store import Arrays, JobRef, Store

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Compute:
    """How networks are run. Part of the keys: other values may change the last bits."""

    batch: int = 32
    threads: int = 1
    dtype: str = "float32"
    precision: Precision = "full"
    compiled: bool = False  # the trunk, by torch.compile


@dataclass(frozen=True)
class Output:
    """What a task hands to the store: named arrays, numbers for the result row, words for it."""

    arrays: Arrays
    data: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Context:
    """What a task may use while it runs."""

    store: Store
    inputs: Mapping[str, JobRef]
    cache: Path
    device: torch.device
    progress: Progress
    journal: Journal
    halvings: int = 0  # how often the batch was halved after the device ran out of memory

    def arrays(self, role: str) -> Arrays:
        """Return the verified tensors of an input job."""
        return self.store.arrays(self.inputs[role])

    def data(self, role: str) -> Mapping[str, Any]:
        """Return the numbers an input job recorded."""
        return dict((self.store.record(self.inputs[role]) or {"data": {}})["data"])


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """One stage of the pipeline with its parameters."""

    stage: ClassVar[str]
    version: ClassVar[int] = 1  # raise it when the stage's results change

    @property
    @abstractmethod
    def label(self) -> str:
        """What a person calls this job."""

    @property
    def cpu_threads(self) -> int:
        """Threads the job runs on; part of its key where it runs a network."""
        return 1

    @property
    def timed(self) -> bool:
        """Whether its seconds stand in a table, so that it gets its device alone."""
        return False

    @property
    def isolation(self) -> str:
        """Jobs of different isolation never share a process."""
        return HARNESS

    @property
    def precision(self) -> Precision:
        """How exactly its device computes."""
        return "full"

    @property
    def batch(self) -> int | None:
        """Images it runs at a time, where it does."""
        return None

    @property
    def divisible(self) -> bool:
        """Whether smaller batches give the same result but for rounding."""
        return False

    @abstractmethod
    def run(self, context: Context) -> Output:
        """Do the work."""


@dataclass(frozen=True)
class Resources:
    """What a job needs of the slot it runs on.

    Attributes:
        threads: of the CPU; part of the job's key where it runs a network.
        precision: how exactly its device computes.
        batch: images at a time, where it runs a network.
        divisible: smaller batches give the same result but for rounding.
        timed: its seconds are in the results, so it gets its device alone.
    """

    threads: int = 1
    precision: Precision = "full"
    batch: int | None = None
    divisible: bool = False
    timed: bool = False


@dataclass(frozen=True)
class Job:
    """A task bound to the jobs it reads."""

    task: Task
    inputs: Mapping[str, JobRef]
    key: str

    @classmethod
    def of(cls, task: Task, inputs: Mapping[str, Job]) -> Job:
        """Bind a task to its inputs and derive the key."""
        key = digest(
            {
                "stage": task.stage,
                "version": task.version,
                "task": task,
                "inputs": {role: job.key for role, job in inputs.items()},
            }
        )
        return cls(task, {role: job.ref for role, job in inputs.items()}, key[:40])

    @property
    def stage(self) -> str:
        """The name of its stage."""
        return self.task.stage

    @property
    def label(self) -> str:
        """What messages call it."""
        return self.task.label

    @property
    def resources(self) -> Resources:
        """What it needs of its slot."""
        task = self.task
        return Resources(task.cpu_threads, task.precision, task.batch, task.divisible, task.timed)

    @property
    def isolation(self) -> str:
        """Jobs of different isolation never share a process."""
        return self.task.isolation

    @property
    def ref(self) -> JobRef:
        """Where the store keeps this job."""
        return JobRef(self.stage, self.key)
