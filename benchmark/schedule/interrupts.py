"""Signals as requests that the graph loop reads; raised inside a library they could be lost.

The first Ctrl-C requests to finish running jobs and start nothing new, the second to stop now.
SIGTERM, which clusters send before they kill, requests to finish within a grace period.
"""

from __future__ import annotations

import signal
import threading
import time
from enum import Enum
from types import FrameType


class StopRequest(Enum):
    """What the user requests of the graph loop."""

    none = "go on"
    finish = "start nothing new"
    stop = "stop now"


class StopSignals:
    """Handles SIGINT and SIGTERM within a ``with`` block of the main thread.

    Attributes:
        received: the latest signal.
    """

    def __init__(self, grace: float) -> None:
        """Take the seconds from SIGTERM until the request is to stop."""
        self._grace = grace
        self._deadline = float("inf")
        self._interrupts = 0
        self.received: signal.Signals | None = None

    def request(self) -> StopRequest:
        """Return what is requested now."""
        if self._interrupts > 1 or time.monotonic() > self._deadline:
            return StopRequest.stop
        return StopRequest.none if self.received is None else StopRequest.finish

    def receive(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        self.received = signal.Signals(number)
        if number == signal.SIGTERM:
            self._deadline = min(self._deadline, time.monotonic() + self._grace)
            return
        self._interrupts += 1
        if self._interrupts > 2:  # do not wait for the loop's next turn
            raise KeyboardInterrupt

    def __enter__(self) -> StopSignals:
        main = threading.current_thread() is threading.main_thread()
        numbers = (signal.SIGINT, signal.SIGTERM) if main else ()
        self._before = {number: signal.signal(number, self.receive) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
