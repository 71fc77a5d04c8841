"""What the graph loop needs of an engine: slots, each of which runs one job at a time."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Any

from hashattack.datasets.errors import UserError

# Isolation of a job: jobs with different values never share a process. HARNESS is for jobs without
# attack code, ATTACKER for the attacks of this program; a plug-in's job has a value of its own.
HARNESS, ATTACKER = "harness", "attacker"

Function = Callable[..., Any]  # what a worker calls; it and its result can be pickled


class EngineError(UserError):
    """Workers that cannot be used; the text says which and why."""


@dataclass(frozen=True)
class Slot:
    """A place for one job at a time. A timed job gets all slots of its ``device``."""

    name: str
    torch_device: str  # as its worker calls it: "cpu", "cuda:0"
    device: str  # the physical device: "gpu 1"; a CPU slot has its own cores, so it is its own
    environment: Mapping[str, str] = field(default_factory=dict)


class Engine(ABC):
    """Runs functions on slots. Futures only signal an end; the store says what is done."""

    @abstractmethod
    def slots(self) -> Mapping[str, Slot]:
        """Return the slots that have, or can start, a live worker now, by name.

        Raises:
            EngineError: there will never be one again.
        """

    @abstractmethod
    def submit(
        self, slot: str, function: Function, /, *, isolation: str = HARNESS, **arguments: Any
    ) -> Future[Any]:
        """Run a function on a free slot.

        Where the engine starts processes of its own, functions of different ``isolation`` never
        share one.

        Raises:
            EngineError: the slot's worker is gone; ``replace`` starts a new one.
        """

    @abstractmethod
    def replace(self, slot: str) -> None:
        """Kill a slot's worker, even a busy one; a new process takes its place."""

    def alive(self, slot: str) -> bool:  # noqa: ARG002 - the futures of most engines report it
        """Return whether the slot's worker is alive, as far as is known."""
        return True

    @abstractmethod
    def close(self) -> None:
        """Release every worker; end those that this engine started."""

    def wait(self, futures: Collection[Future[Any]], timeout: float) -> Collection[Future[Any]]:
        """Return the futures that are done, after at most ``timeout`` seconds."""
        if not futures:
            time.sleep(timeout)
            return ()
        return wait(futures, timeout=timeout, return_when=FIRST_COMPLETED).done

    def now(self) -> float:
        """Return the time in seconds since a fixed moment."""
        return time.monotonic()
