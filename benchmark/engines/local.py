"""The local engine: single-worker process pools, so a death costs one job only.

A shared pool fails every queued job when one worker dies; here a job is only ever submitted to a
free slot, and a broken slot is replaced. A slot has up to two processes, of which one works at a
time: the harness's, and one of the attacker's side. One of a room for a single job ends when the
slot's next job comes. Workers exit when their driver is gone.
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
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, Future
from typing import Any

from joblib.externals.loky import process_executor
from joblib.externals.loky.process_executor import ProcessPoolExecutor

from hashattack.benchmark.engines.base import ATTACKER, HARNESS, Engine, EngineError, Slot

_PR_SET_PDEATHSIG = 1
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
_DRIVERS_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class LocalEngine(Engine):
    """Worker processes of this machine, started when their slot is first used."""

    def __init__(self, slots: Iterable[Slot]) -> None:
        self._slots = {slot.name: slot for slot in slots}
        self._pools: defaultdict[str, dict[str, Any]] = defaultdict(dict)  # slot -> room -> pool
        self._used: dict[str, str] = {}  # slot -> the room of its last job

    def slots(self) -> Mapping[str, Slot]:
        """Return all slots: a worker that died is started anew."""
        return self._slots

    def submit(
        self, slot: str, function: Callable[..., Any], /, *, room: str = HARNESS, **arguments: Any
    ) -> Future[Any]:
        """Run a function on a free slot."""
        pools = self._pools[slot]
        self._used[slot] = room
        stay = (HARNESS, ATTACKER if room == HARNESS else room)
        for other in pools.keys() - set(stay):
            _end(pools.pop(other))
        try:
            if room not in pools:
                pools[room] = ProcessPoolExecutor(
                    max_workers=1,
                    initializer=_start_worker,
                    initargs=(os.getpid(),),
                    env=dict(self._slots[slot].environment),
                )
            with _no_signals():
                future: Future[Any] = pools[room].submit(function, **arguments)
        except (BrokenExecutor, OSError, RuntimeError) as error:  # died idle, or cannot be started
            raise EngineError(f"{slot} has no worker: {error}") from error
        return future

    def alive(self, slot: str) -> bool:
        """Return whether the slot's working process runs, or is still to be started."""
        processes = _processes(self._pools[slot].get(self._used.get(slot, HARNESS)))
        return not processes or any(process.is_alive() for process in processes)

    def replace(self, slot: str) -> None:
        """Kill a slot's processes; the next submission starts a fresh one."""
        for pool in self._pools.pop(slot, {}).values():
            _end(pool)

    def close(self) -> None:
        """End every worker at once; what is done is in the store already."""
        for slot in list(self._pools):
            self.replace(slot)


def _processes(pool: Any) -> list[Any]:
    return list((getattr(pool, "_processes", None) or {}).values())


def _end(pool: Any) -> None:
    """Kill the process of a pool, whatever it does."""
    processes = _processes(pool)
    pool.shutdown(wait=False, kill_workers=True)
    for process in processes:  # the pool's own thread may be dead
        with contextlib.suppress(OSError):
            os.kill(process.pid, _KILL)


@contextlib.contextmanager
def _no_signals() -> Iterator[None]:
    """Let a worker be born deaf: what is sent to the process group is the driver's to answer."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _DRIVERS_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(driver: int) -> None:
    """Prepare a worker: leave signals to the driver, and never outlive it."""
    # Where psutil is installed, loky ends a worker that grew by 300 MB since its first call, as any
    # does that loads CUDA or a network: the next job waits for a new one.
    process_executor._MAX_MEMORY_LEAK_SIZE = sys.maxsize
    for number in _DRIVERS_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _DRIVERS_SIGNALS)
    logging.basicConfig(level=logging.INFO, handlers=[logging.NullHandler()])
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_watch, args=(driver,), daemon=True).start()


def _watch(driver: int) -> None:
    while os.getppid() == driver:
        time.sleep(1)
    os._exit(1)
