"""What stages have in common: the data set they read, the threads they run on."""

from __future__ import annotations

import functools
from abc import abstractmethod
from dataclasses import dataclass, field
from pathlib import Path

from hashattack.benchmark.audit import InvalidAttackError
from hashattack.benchmark.jobs import Compute, Context, Task
from hashattack.benchmark.numerics import Precision
from hashattack.datasets.base import DatasetError, DatasetSpec, RetrievalData, SplitName
from hashattack.targets.backbones import Backbone
from hashattack.targets.hasher import Recipe


def hidden_labels(split: SplitName) -> InvalidAttackError:
    """Return the error of an attack that asks for labels it may not see."""
    whose = "the queries'" if split == "query" else f"the {split}'s"
    return InvalidAttackError(f"the attack reads {whose} labels, which the threat model hides")


@functools.lru_cache(maxsize=4)
def _loaded(dataset: DatasetSpec, cache: Path, hidden: tuple[SplitName, ...]) -> RetrievalData:
    """Return a data set, read once a worker: lists and files of a large one take seconds.

    Hidden labels are left to nobody, not even to this memory.
    """
    data = dataset.load(cache)
    return data.without_labels(*hidden, refusal=hidden_labels) if hidden else data


@dataclass(frozen=True, kw_only=True)
class DataTask(Task):
    """A task that reads a data set."""

    # Where the data comes from is not what it is: the fingerprint stands in the key instead.
    dataset: DatasetSpec = field(metadata={"key": False})
    fingerprint: str

    def hidden(self, context: Context) -> tuple[SplitName, ...]:  # noqa: ARG002 - the attacker's do
        """Return the splits whose labels this task must not see."""
        return ()

    def data(self, context: Context) -> RetrievalData:
        """Return the data set.

        Raises:
            DatasetError: it changed since the plan was made.
        """
        hidden = self.hidden(context)
        data = _loaded(self.dataset, context.cache, hidden)
        if data.fingerprint != self.fingerprint:
            _loaded.cache_clear()  # it may be this process that is behind
            data = _loaded(self.dataset, context.cache, hidden)
        if data.fingerprint != self.fingerprint:
            raise DatasetError(f"{data.name} changed since the plan was made; run again")
        return data


@dataclass(frozen=True, kw_only=True)
class NetworkTask(DataTask):
    """A task that runs a trained network over images."""

    compute: Compute

    @property
    def cpu_threads(self) -> int:
        """Threads the job runs on."""
        return self.compute.threads

    @property
    def precision(self) -> Precision:
        """How exactly its device computes."""
        return self.compute.precision

    @property
    def batch(self) -> int | None:
        """Images at a time."""
        return self.compute.batch

    @property
    def divisible(self) -> bool:
        """Every image stands for itself."""
        return True


@dataclass(frozen=True, kw_only=True)
class TrainingTask(DataTask):
    """A task that trains a network; its batch is the recipe's."""

    threads: int

    @property
    def cpu_threads(self) -> int:
        """Threads the job runs on."""
        return self.threads

    @property
    @abstractmethod
    def recipe_of(self) -> tuple[Backbone, Recipe]:
        """What is trained, and how."""

    @property
    def batch(self) -> int | None:
        """Images a step."""
        return self.recipe_of[1].batch

    @property
    def divisible(self) -> bool:
        """Gradients of parts of a batch add up, unless the network looks at the whole batch."""
        return not self.recipe_of[0].batch_statistics
