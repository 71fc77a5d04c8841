"""The local engine: process pools of one worker each, so that a dead worker costs only its job.

In a shared pool the death of one worker fails every queued job. Here jobs are submitted to free
slots only, and a broken slot is replaced. A slot has up to two processes, of which one works at a
time: one for the harness and one for attacks. A process isolated for a single job ends when another
job comes to its slot. Workers exit when the driver is gone; then loky's resource tracker removes
the semaphores of their queues.
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
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, Future
from typing import Any

from joblib.externals.loky import process_executor
from joblib.externals.loky.backend import resource_tracker
from joblib.externals.loky.process_executor import ProcessPoolExecutor

from hashattack.benchmark.engines.base import ATTACKER, HARNESS, Engine, EngineError, Function, Slot

_PR_SET_PDEATHSIG = 1
_DRIVER_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_spawn = resource_tracker.spawnv_passfds


def _spawn_in_own_session(path: str, arguments: list[str], descriptors: list[int]) -> Any:
    """Start the resource tracker where a kill of the driver's process group does not reach it."""
    *options, code = arguments
    return _spawn(path, [*options, f"import os; os.setsid(); {code}"], descriptors)


resource_tracker.spawnv_passfds = _spawn_in_own_session


class LocalEngine(Engine):
    """Worker processes of this machine, started when their slot is first used."""

    def __init__(self, slots: Iterable[Slot]) -> None:
        self._slots = {slot.name: slot for slot in slots}
        # slot -> isolation -> pool; the last one is that of the slot's latest job
        self._pools: defaultdict[str, dict[str, Any]] = defaultdict(dict)

    def slots(self) -> Mapping[str, Slot]:
        """Return all slots: a dead worker is replaced."""
        return self._slots

    def submit(
        self, slot: str, function: Function, /, *, isolation: str = HARNESS, **arguments: Any
    ) -> Future[Any]:
        """Run a function on a free slot."""
        pools = self._pools[slot]
        kept = (HARNESS, ATTACKER if isolation == HARNESS else isolation)
        for other in pools.keys() - set(kept):
            _end(pools.pop(other))
        try:
            pools[isolation] = pools.pop(isolation, None) or ProcessPoolExecutor(
                max_workers=1,
                initializer=start_worker,
                initargs=(os.getpid(),),
                env=dict(self._slots[slot].environment),
            )
            with _signals_blocked():
                future: Future[Any] = pools[isolation].submit(function, **arguments)
        except (BrokenExecutor, OSError, RuntimeError) as error:  # died idle, or cannot be started
            raise EngineError(f"{slot} has no worker: {error}") from error
        return future

    def alive(self, slot: str) -> bool:
        """Return whether the process of the slot's job runs, or is still to be started."""
        pools = list(self._pools[slot].values())
        processes = _processes(pools[-1]) if pools else []
        return not processes or any(process.is_alive() for process in processes)

    def replace(self, slot: str) -> None:
        """Kill a slot's processes; the next submission starts a new one."""
        for pool in self._pools.pop(slot, {}).values():
            _end(pool)

    def close(self) -> None:
        """End every worker at once; finished jobs are in the store already."""
        for slot in list(self._pools):
            self.replace(slot)


def _processes(pool: Any) -> list[Any]:
    return list((getattr(pool, "_processes", None) or {}).values())


def _end(pool: Any) -> None:
    """Kill the process of a pool, even a busy one."""
    processes = _processes(pool)
    pool.shutdown(wait=False, kill_workers=True)
    for process in processes:  # the pool's own thread may be dead
        with contextlib.suppress(OSError):
            os.kill(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """Start workers with SIGINT and SIGTERM blocked: only the driver answers them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _DRIVER_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_worker(driver: int) -> None:
    """Prepare a worker: ignore the driver's signals, and end when the driver ends."""
    # Where psutil is installed, loky ends a worker that grew by 300 MB since its first call. Any
    # worker does that loads CUDA or a network, and the next job would wait for a new one.
    process_executor._MAX_MEMORY_LEAK_SIZE = sys.maxsize
    for number in _DRIVER_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _DRIVER_SIGNALS)
    logging.basicConfig(level=logging.INFO, handlers=[logging.NullHandler()])
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_exit_with, args=(driver,), daemon=True).start()


def _exit_with(driver: int) -> None:
    while os.getppid() == driver:
        time.sleep(1)
    os._exit(1)
