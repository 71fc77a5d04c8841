"""The dask engine: a slot a worker of a cluster that dask started (Slurm, SSH, this machine).

One job in flight a worker, because dask blames every task it has assigned to a dead worker; no
retries inside dask, because the loop counts tries itself; results go through the store, because a
result that lies in a dead worker would be computed again.
"""

from __future__ import annotations

import logging
import os
import platform
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import torch

from benchmark.engines.base import Engine, EngineError, Slot
from benchmark.provenance import versions
from benchmark.store import write_bytes

logger = logging.getLogger(__name__)

_PROBE_SECONDS = 60.0
_REFRESH_SECONDS = 1.0
_CONNECT_SECONDS = 30
_RESTART_SECONDS = 30


def probe(token_file: str) -> dict[str, Any]:
    """Say, on a worker, what it is and what it sees."""
    path = Path(token_file)
    return {
        "token": path.read_text() if path.is_file() else None,
        "versions": versions(),
        "host": platform.node(),
        "gpus": torch.cuda.device_count(),
        "visible": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
    }


class DaskEngine(Engine):
    """The workers of a running dask cluster; they stay when the run ends."""

    def __init__(self, scheduler_file: Path, out: Path, *, cpu_only: bool = False) -> None:
        """Connect, and check every worker.

        Args:
            scheduler_file: as ``dask scheduler --scheduler-file`` writes it.
            out: the output folder, which all workers have to see.
            cpu_only: leave GPUs alone.

        Raises:
            EngineError: no cluster, no worker, or one that does not fit; the text says which.
        """
        try:
            from distributed import Client
        except ImportError as error:
            raise EngineError(
                "--engine dask needs the extra: pip install 'targeted-hashing-benchmark[dask]'"
            ) from error
        if not scheduler_file.is_file():
            raise EngineError(
                f"{scheduler_file} does not exist; 'dask scheduler --scheduler-file F' writes it"
            )
        for name in ("distributed", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # the loop says what matters
        try:
            self._client = Client(scheduler_file=str(scheduler_file), timeout=_CONNECT_SECONDS)
        except (OSError, TimeoutError) as error:
            raise EngineError(f"no scheduler answers at {scheduler_file}: {error}") from error
        self._client.run_on_scheduler(_blame_at_once)
        self._out, self._cpu_only = out, cpu_only
        self._token = out / f".probe-{uuid.uuid4().hex[:8]}"
        self._slots: dict[str, Slot] = {}
        self._probes: dict[str, Future[Any]] = {}
        self._refused: set[str] = set()
        self._refreshed = -_REFRESH_SECONDS
        self._check_all()

    def slots(self) -> Mapping[str, Slot]:
        """Return the workers that are there now and fit; looks again every second."""
        if time.monotonic() - self._refreshed >= _REFRESH_SECONDS:
            self._refreshed = time.monotonic()
            live = self._workers()
            self._slots = {name: slot for name, slot in self._slots.items() if name in live}
            self._probes = {name: told for name, told in self._probes.items() if name in live}
            for name in live.keys() - self._slots.keys() - self._probes.keys() - self._refused:
                self._ask(name)
            for fault in self._admit(live):
                logger.warning("%s; it is not used", fault)
        return self._slots

    def submit(self, slot: str, function: Callable[..., Any], /, **arguments: Any) -> Future[Any]:
        """Run a function on a free slot."""
        try:
            executor = self._client.get_executor(
                workers=[slot], allow_other_workers=False, pure=False, retries=0
            )
            future: Future[Any] = executor.submit(function, **arguments)
        except Exception as error:  # the scheduler is gone, in one of dask's many ways
            raise EngineError(f"dask does not take jobs: {error}") from error
        return future

    def replace(self, slot: str) -> None:
        """Have the worker's nanny start its process anew; a dead one is started anew anyway."""
        try:
            if slot in self._workers():
                self._client.restart_workers(
                    [slot], timeout=_RESTART_SECONDS, raise_for_error=False
                )
        except Exception as error:  # noqa: BLE001 - it may die while it is restarted
            logger.warning("%s could not be restarted: %s", slot, error)
        self._slots.pop(slot, None)
        self._refreshed = -_REFRESH_SECONDS

    def close(self) -> None:
        """Leave the cluster as it is."""
        self._token.unlink(missing_ok=True)
        self._client.close(timeout=_RESTART_SECONDS)

    def _workers(self) -> dict[str, dict[str, Any]]:
        """Return what the scheduler knows of its workers, by address."""
        try:
            found: dict[str, dict[str, Any]] = self._client.scheduler_info(n_workers=-1)["workers"]
        except Exception as error:  # noqa: BLE001 - no scheduler, no workers; it may come back
            logger.warning("the dask scheduler does not answer: %s", error)
            return {}
        return found

    def _check_all(self) -> None:
        """Check the workers that are there at the start.

        Raises:
            EngineError: none, or some that do not fit.
        """
        write_bytes(self._token, self._token.name.encode())
        ends = time.monotonic() + _PROBE_SECONDS
        while not (live := self._workers()) and time.monotonic() < ends:
            time.sleep(_REFRESH_SECONDS)
        if not live:
            raise EngineError(
                f"no worker joined the cluster in {_PROBE_SECONDS:.0f} s; start one a GPU with "
                "'dask worker --scheduler-file F --nthreads 1'"
            )
        for name in live:
            self._ask(name)
        self.wait(list(self._probes.values()), _PROBE_SECONDS)
        faults: list[str] = []
        while self._probes and time.monotonic() < ends:
            self.wait(list(self._probes.values()), 1.0)
            faults += self._admit(live)
        faults += [f"worker {name} did not answer" for name in self._probes]
        if faults:
            raise EngineError("; ".join(faults))

    def _ask(self, name: str) -> None:
        self._probes[name] = self.submit(name, probe, token_file=str(self._token))

    def _admit(self, live: Mapping[str, dict[str, Any]]) -> list[str]:
        """Make slots of the workers that have answered; return what is wrong with the others."""
        faults = []
        for name, future in list(self._probes.items()):
            if not future.done():
                continue
            del self._probes[name]
            fault, told = "", {}
            if future.cancelled() or future.exception() is not None:
                fault = (
                    "it died of its first question"
                    if future.cancelled()
                    else str(future.exception())
                )
            else:
                told = future.result()
                fault = self._fault(told, live.get(name, {}))
            if fault:
                self._refused.add(name)
                faults.append(f"worker {name}: {fault}")
            else:
                self._slots[name] = self._slot(name, told)
        return faults

    def _fault(self, told: Mapping[str, Any], known: Mapping[str, Any]) -> str:
        """Return why a worker cannot be used, or nothing."""
        if told["token"] != self._token.name:
            return f"it does not see {self._out}; the folder must be on a shared file system"
        own = versions()
        for what, theirs in told["versions"].items():
            if theirs != own[what] and what != "machine":
                return f"it has other {what} ({theirs}) than this process ({own[what]})"
        if known.get("nanny") is None:
            return "it has no nanny, so a job that hangs could not be stopped; drop --no-nanny"
        return ""

    def _slot(self, name: str, told: Mapping[str, Any]) -> Slot:
        if told["gpus"] and not self._cpu_only:
            return Slot(name, "cuda:0", f"{told['host']} gpu {told['visible']}")
        return Slot(name, "cpu", name)


def _blame_at_once(dask_scheduler: Any = None) -> None:
    """Tell the scheduler never to run a task again whose worker died: the loop decides."""
    dask_scheduler.allowed_failures = 0
