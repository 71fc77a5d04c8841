"""Signals, kept for the graph loop: raised inside a library they can be lost.

The first Ctrl-C asks to finish what runs and start nothing new, the second to stop now. SIGTERM,
as clusters send it before they kill, asks to finish within a grace period.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from enum import Enum
from typing import Any

_PATIENT = 2  # a third Ctrl-C does not wait for the loop's turn


class Wish(Enum):
    """What the user wants of the loop."""

    go_on = "go on"
    finish = "start nothing new"
    stop = "stop now"


class Signals:
    """What signals have asked for so far."""

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._deadline = float("inf")
        self._interrupts = 0
        self.received: signal.Signals | None = None

    def wish(self) -> Wish:
        """Return what is asked of the loop now."""
        if self._interrupts > 1 or time.monotonic() > self._deadline:
            return Wish.stop
        return Wish.go_on if self.received is None else Wish.finish

    def receive(self, number: int, frame: Any) -> None:  # noqa: ARG002 - as handlers are called
        """Handle a signal."""
        self.received = signal.Signals(number)
        if number == signal.SIGINT:
            self._interrupts += 1
            if self._interrupts > _PATIENT:
                raise KeyboardInterrupt
        else:
            self._deadline = min(self._deadline, time.monotonic() + self._grace)


@contextlib.contextmanager
def signals(grace: float) -> Iterator[Signals]:
    """Keep SIGINT and SIGTERM while the block runs; elsewhere than in the main thread, nothing.

    Args:
        grace: seconds from SIGTERM until the wish is to stop.
    """
    kept = Signals(grace)
    if threading.current_thread() is not threading.main_thread():
        yield kept
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, kept.receive) for number in numbers}
    try:
        yield kept
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
