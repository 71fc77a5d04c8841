"""The local engine: one single-worker process pool a slot, so a death costs one job only.

A shared pool fails every queued job when one worker dies; here a job is only ever submitted to a
free slot, and a broken slot is replaced. Workers exit when their driver is gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import BrokenExecutor, Future
from typing import Any

from joblib.externals.loky.process_executor import ProcessPoolExecutor

from benchmark.engines.base import Engine, EngineError, Slot

_PR_SET_PDEATHSIG = 1


class LocalEngine(Engine):
    """Worker processes of this machine, started when their slot is first used."""

    def __init__(self, slots: Iterable[Slot]) -> None:
        self._slots = {slot.name: slot for slot in slots}
        self._pools: dict[str, Any] = {}

    def slots(self) -> Mapping[str, Slot]:
        """Return all slots: a worker that died is started anew."""
        return self._slots

    def submit(self, slot: str, function: Callable[..., Any], /, **arguments: Any) -> Future[Any]:
        """Run a function on a free slot."""
        if slot not in self._pools:
            self._pools[slot] = ProcessPoolExecutor(
                max_workers=1,
                initializer=_start_worker,
                initargs=(os.getpid(),),
                env=dict(self._slots[slot].environment),
            )
        try:
            future: Future[Any] = self._pools[slot].submit(function, **arguments)
        except BrokenExecutor as error:  # it died while it had nothing to do
            raise EngineError(f"the worker of {slot} is gone: {error}") from error
        return future

    def replace(self, slot: str) -> None:
        """Kill a slot's worker; the next submission starts a fresh process."""
        pool = self._pools.pop(slot, None)
        if pool is not None:
            pool.shutdown(wait=False, kill_workers=True)

    def close(self) -> None:
        """End every worker at once; what is done is in the store already."""
        for slot in list(self._pools):
            self.replace(slot)


def _start_worker(driver: int) -> None:
    """Prepare a worker: leave signals to the driver, and never outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, handlers=[logging.NullHandler()])
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_watch, args=(driver,), daemon=True).start()


def _watch(driver: int) -> None:
    while os.getppid() == driver:
        time.sleep(1)
    os._exit(1)
