"""Requests to stop a run; raised as exceptions inside a library, signals could be lost."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType

from hashattack.benchmark.console import EXIT_CELLS_MISSING
from hashattack.datasets.errors import UserError


class RunStoppedError(UserError):
    """A run that ended early; ``signal`` is what requested it, None where it could not go on."""

    def __init__(self, message: str, number: signal.Signals | None = None) -> None:
        super().__init__(message)
        self.signal = number

    @property
    def exit_code(self) -> int:
        """Exit code of the program: as shells have it for a signal, else as for missing cells."""
        return EXIT_CELLS_MISSING if self.signal is None else 128 + self.signal


class StopRequest:
    """What SIGINT and SIGTERM request; handles them in a ``with`` block of the main thread.

    The first Ctrl-C requests to finish running jobs and start nothing new, the second to stop at
    once. SIGTERM, which clusters send before they kill, requests to finish in ``grace`` seconds.
    """

    def __init__(self, grace: float = 0.0) -> None:
        self.signal: signal.Signals | None = None  # the latest; None: go on
        self._grace = grace
        self._deadline = float("inf")
        self._interrupts = 0

    @property
    def at_once(self) -> bool:
        """Whether to stop without waiting for running jobs."""
        return self._interrupts > 1 or time.monotonic() > self._deadline

    def receive(self, number: int, _frame: FrameType | None = None) -> None:
        """Handle a signal."""
        self.signal = signal.Signals(number)
        if number == signal.SIGTERM:
            self._deadline = min(self._deadline, time.monotonic() + self._grace)
            return
        self._interrupts += 1
        if self._interrupts > 2:  # do not wait for the loop's next turn
            raise KeyboardInterrupt

    def __enter__(self) -> StopRequest:
        main = threading.current_thread() is threading.main_thread()
        numbers = (signal.SIGINT, signal.SIGTERM) if main else ()
        self._before = {number: signal.signal(number, self.receive) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
