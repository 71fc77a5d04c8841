"""Jobs: a stage with its parameters, bound to the jobs it reads.

A stage is a function of frozen parameters and a :class:`Context`; :func:`implements` declares it.
A job's key is the SHA-256 of canonical JSON of the stage with its version and the columns that it
measures, of the parameters and of the keys of the inputs.
Code revision, host and device are provenance, never part of it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import torch

from hashattack.benchmark.audit import hidden_labels
from hashattack.benchmark.engines.base import ATTACKER, HARNESS
from hashattack.benchmark.pipeline import Stage
from hashattack.benchmark.store.journal import Journal
from hashattack.benchmark.store.keys import digest, is_own
from hashattack.benchmark.store.store import Arrays, JobRef, Store
from hashattack.datasets.base import DatasetError, DatasetSpec, RetrievalData, SplitName
from hashattack.targets.backbones import Backbone

Precision = Literal["full", "tf32", "bfloat16"]
Progress = Callable[[int, int, str], None]  # done, total, unit
T = TypeVar("T")

FORWARD_AND_BACKWARD = 2  # passes; to the images, the way back takes as long
TRAINING = 3  # in training, it leads to the weights, too


@dataclass(frozen=True)
class Resources:
    """What a job needs of the slot it runs on."""

    threads: int = 1
    precision: Precision = "full"
    batch: int | None = None  # images at a time, where it runs a network
    divisible: bool = False  # smaller batches give the same result but for rounding
    timed: bool = False  # its seconds are in the results, so it gets its device alone


@dataclass(frozen=True)
class Compute:
    """How networks are run. Part of the keys: other values may change the last bits."""

    batch: int = 32
    threads: int = 1
    dtype: str = "float32"
    precision: Precision = "full"
    compiled: bool = False  # the trunk, by torch.compile

    def resources(self, *, timed: bool = False) -> Resources:
        """Return what a job needs whose images do not depend on each other."""
        return Resources(self.threads, self.precision, self.batch, divisible=True, timed=timed)


@dataclass(frozen=True)
class Work:
    """What a job's time is proportional to, at a speed of its own for each ``kind``.

    ``amount`` counts passes of a backbone over single images, forwards and backwards; without a
    backbone, pairs of a query and a database item that are ranked. ``also`` are other backbones,
    each with as many passes.
    """

    amount: int
    backbone: Backbone | None = None
    kind: str = ""
    also: tuple[Backbone, ...] = ()


@dataclass(frozen=True)
class Output:
    """What a job stores: named arrays, numbers for the result row, notes for its reader."""

    arrays: Arrays
    data: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()


def silent(_done: int, _total: int, _unit: str) -> None:
    """Report no progress."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where networks run."""

    device: torch.device
    progress: Progress = silent
    halvings: int = 0  # how often the batch was halved after the device ran out of memory


@dataclass(frozen=True, kw_only=True)
class Context(Place):
    """What a job may use while it runs."""

    store: Store
    inputs: Mapping[str, JobRef]
    cache: Path
    journal: Journal

    def arrays(self, role: str) -> Arrays:
        """Return the verified tensors of an input job."""
        return self.store.arrays(self.inputs[role])

    def recorded(self, role: str) -> Mapping[str, Any]:
        """Return the numbers that an input job recorded."""
        return dict((self.store.record(self.inputs[role]) or {"data": {}})["data"])


@dataclass(frozen=True)
class Implementation(Generic[T]):
    """What a stage does with parameters of a class, and what is known before it runs."""

    stage: Stage
    run: Callable[[T, Context], Output]
    label: Callable[[T], str]  # what messages call a job with these parameters
    resources: Callable[[T], Resources]
    work: Callable[[T, RetrievalData], Work | None]  # None for a fraction of a second


_IMPLEMENTATIONS: dict[type[Any], Implementation[Any]] = {}


def implements(
    stage: Stage,
    parameters: type[T],
    *,
    label: Callable[[T], str],
    resources: Callable[[T], Resources] = lambda _: Resources(),
    work: Callable[[T, RetrievalData], Work | None] = lambda *_: None,
) -> Callable[[Callable[[T, Context], Output]], Callable[[T, Context], Output]]:
    """Declare the decorated function as an :class:`Implementation` of a stage.

    ``parameters`` is a frozen dataclass; its fields are part of the job's key, except those with
    ``metadata={"key": False}``.
    """

    def register(run: Callable[[T, Context], Output]) -> Callable[[T, Context], Output]:
        _IMPLEMENTATIONS[parameters] = Implementation(stage, run, label, resources, work)
        return run

    return register


@functools.lru_cache(maxsize=4)  # lists and files of a large data set take seconds
def _loaded(
    dataset: DatasetSpec, fingerprint: str, cache: Path, hidden: tuple[SplitName, ...]
) -> RetrievalData:
    data = dataset.load(cache)
    if data.fingerprint != fingerprint:
        raise DatasetError(f"{data.name} changed since the plan was made; run again")
    return data.without_labels(*hidden, refusal=hidden_labels) if hidden else data


@dataclass(frozen=True, kw_only=True)
class OnData:
    """Parameters of a job that reads a data set, which its fingerprint identifies in the key."""

    dataset: DatasetSpec = field(metadata={"key": False})
    fingerprint: str

    def data(self, context: Context) -> RetrievalData:
        """Return the data set, without the labels that the stage hides.

        Raises:
            DatasetError: it changed since the plan was made.
        """
        hides = _IMPLEMENTATIONS[type(self)].stage.hides
        hidden = tuple(split for split in hides if split not in context.inputs)
        return _loaded(self.dataset, self.fingerprint, context.cache, hidden)


@dataclass(frozen=True)
class Job:
    """A stage's parameters, bound to the jobs it reads."""

    task: Any  # parameters of a class that has an implementation
    inputs: Mapping[str, JobRef]
    key: str

    @classmethod
    def of(cls, task: Any, inputs: Mapping[str, Job]) -> Job:
        """Bind parameters to input jobs by role, and derive the key."""
        stage = _IMPLEMENTATIONS[type(task)].stage
        content = {"stage": stage.name, "version": stage.version, "task": task}
        content["columns"] = stage.columns
        content["inputs"] = {role: job.key for role, job in inputs.items()}
        return cls(task, {role: job.ref for role, job in inputs.items()}, digest(content)[:40])

    @property
    def implementation(self) -> Implementation[Any]:
        """The declaration of what it does."""
        return _IMPLEMENTATIONS[type(self.task)]

    @property
    def stage(self) -> str:
        """The name of its stage."""
        return self.implementation.stage.name

    @property
    def label(self) -> str:
        """What messages call it."""
        return self.implementation.label(self.task)

    @property
    def resources(self) -> Resources:
        """What it needs of its slot."""
        return self.implementation.resources(self.task)

    @property
    def isolation(self) -> str:
        """Jobs of different isolation never share a process.

        The harness's jobs share one, and so do the program's own attacks. A job with code of a
        plug-in in it gets a process of its own: what it does there affects no other job.
        """
        if not self.implementation.stage.attacker:
            return HARNESS
        return ATTACKER if is_own(self.task) else f"{ATTACKER} {digest(self.task)}"

    @property
    def ref(self) -> JobRef:
        """Where the store keeps it."""
        return JobRef(self.stage, self.key)

    def run(self, context: Context) -> Output:
        """Do the work."""
        return self.implementation.run(self.task, context)
