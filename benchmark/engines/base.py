"""What the graph loop asks of an engine: slots, each taking one job at a time."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Any

from hashattack.datasets.errors import UserError

# Rooms: of what no attack has a part in, and of the program's own attacks. Any other is one job's.
HARNESS, ATTACKER = "harness", "attacker"


class EngineError(UserError):
    """Workers that cannot be used; the text says which and why."""


@dataclass(frozen=True)
class Slot:
    """A place for one job at a time.

    Slots of one ``device`` share it: a job that is timed gets it alone.
    """

    name: str
    torch_device: str  # as its worker calls it: "cpu", "cuda:0"
    device: str  # the physical device: "gpu 1"; a CPU slot has its own cores, so it is its own
    environment: Mapping[str, str] = field(default_factory=dict)


class Engine(ABC):
    """Runs functions on slots. What is done is the store's word, never a future's."""

    @abstractmethod
    def slots(self) -> Mapping[str, Slot]:
        """Return the slots that have, or can start, a live worker now, by name.

        Raises:
            EngineError: there will never be one again.
        """

    @abstractmethod
    def submit(
        self, slot: str, function: Callable[..., Any], /, *, room: str = HARNESS, **arguments: Any
    ) -> Future[Any]:
        """Run a function on a free slot.

        What runs in a room shares its process with nothing that runs in another one, where the
        engine starts processes of its own.

        Raises:
            EngineError: the slot's worker is gone; ``replace`` gives it a fresh one.
        """

    @abstractmethod
    def replace(self, slot: str) -> None:
        """Kill a slot's worker, whatever it does, so that a fresh process takes its place."""

    def alive(self, slot: str) -> bool:  # noqa: ARG002 - most engines' futures tell
        """Return whether the slot's worker is there, as far as is known."""
        return True

    @abstractmethod
    def close(self) -> None:
        """Let go of every worker; those that are ours end at once."""

    def wait(self, futures: Collection[Future[Any]], timeout: float) -> Collection[Future[Any]]:
        """Return the futures that are done, after at most ``timeout`` seconds."""
        if not futures:
            time.sleep(timeout)
            return ()
        return wait(futures, timeout=timeout, return_when=FIRST_COMPLETED).done

    def now(self) -> float:
        """Return the time in seconds from some moment on."""
        return time.monotonic()
