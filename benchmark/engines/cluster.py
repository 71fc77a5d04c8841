"""The dask engine: a slot a worker of a cluster that dask started (Slurm, SSH, this machine).

One job in flight a worker, because dask blames every task it has assigned to a dead worker; no
retries inside dask, because the loop counts tries itself; results go through the store, because a
result that lies in a dead worker would be computed again. A worker is known by its nanny, which
stays when the worker's process is replaced. No call to dask is waited for without a deadline.
"""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hashattack.benchmark.engines.base import HARNESS, Engine, EngineError, Slot
from hashattack.benchmark.engines.deadline import in_background, within
from hashattack.benchmark.engines.probe import fault, probe
from hashattack.benchmark.store.files import write_bytes

logger = logging.getLogger(__name__)

_CALL_SECONDS = 20.0
_ASK_SECONDS = 15.0  # until a worker that does not answer is replaced: a dead run may hold it
_JOIN_SECONDS = 90.0
_REFRESH_SECONDS = 1.0
_PROBES = 3  # questions to a worker until it is given up


@dataclass
class _Worker:
    """A worker process: its address, and what is known of it."""

    address: str
    probe: Future[Any] | None = None
    asked: float = 0.0
    slot: Slot | None = None


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
        self._out, self._cpu_only = out, cpu_only
        self._workers: dict[str, _Worker] = {}  # by nanny
        self._questions: Counter[str] = Counter()
        self._refused: dict[str, str] = {}  # address -> why
        self._running: dict[str, Future[Any]] = {}
        self._refreshed = -_REFRESH_SECONDS
        self._token = out / f".probe-{uuid.uuid4().hex[:8]}"
        self._client = _connect(scheduler_file)
        try:
            write_bytes(self._token, self._token.name.encode())
            within(_CALL_SECONDS, lambda: self._client.run_on_scheduler(_blame_at_once))
            self._wait_for_all()
        except BaseException as error:
            self.close()
            if isinstance(error, EngineError | KeyboardInterrupt | OSError):
                raise
            raise EngineError(f"the dask scheduler does not do as asked: {error!r}") from error

    def slots(self) -> Mapping[str, Slot]:
        """Return the workers that are there now and fit; looks again every second.

        Raises:
            EngineError: the scheduler is gone.
        """
        if time.monotonic() - self._refreshed >= _REFRESH_SECONDS:
            self._refresh()
            for address, why in list(self._refused.items()):
                if why:
                    logger.warning("worker %s is not used: %s", address, why)
                    self._refused[address] = ""
        return {
            nanny: worker.slot for nanny, worker in self._workers.items() if worker.slot is not None
        }

    def submit(
        self, slot: str, function: Callable[..., Any], /, *, room: str = HARNESS, **arguments: Any
    ) -> Future[Any]:
        """Run a function on a free slot; a worker is one process, so that rooms are not kept."""
        del room
        worker = self._workers.get(slot)
        if worker is None:
            raise EngineError(f"worker {slot} has left")
        self._running[slot] = future = self._send(worker.address, function, arguments)
        return future

    def replace(self, slot: str) -> None:
        """Have the worker's nanny start its process anew; meanwhile the slot is not there."""
        worker = self._workers.pop(slot, None)
        self._running.pop(slot, None)
        if worker is not None:
            self._refused[worker.address] = ""  # until it is gone
            restart = self._client.restart_workers
            in_background(
                lambda: restart([worker.address], timeout=_CALL_SECONDS, raise_for_error=False)
            )

    def close(self) -> None:
        """Leave the cluster as it is, without our jobs."""
        busy = [slot for slot, future in self._running.items() if not future.done()]
        for slot in busy:
            self.replace(slot)
        if busy:
            time.sleep(_REFRESH_SECONDS)  # for the requests to leave
        self._token.unlink(missing_ok=True)
        with contextlib.suppress(Exception):
            within(_CALL_SECONDS, lambda: self._client.close(timeout=_CALL_SECONDS))

    # -- who is there ----------------------------------------------------------------------

    def _wait_for_all(self) -> None:
        """Check the workers that are there at the start.

        Raises:
            EngineError: none, or some that do not fit.
        """
        ends = time.monotonic() + _JOIN_SECONDS
        while time.monotonic() < ends:
            self._refresh()
            asked = [worker.probe for worker in self._workers.values() if worker.slot is None]
            if self._workers and not asked:
                break
            self.wait([future for future in asked if future is not None], _REFRESH_SECONDS)
        faults = [f"worker {address}: {why}" for address, why in self._refused.items() if why]
        faults += [
            f"worker {worker.address} does not answer"
            for worker in self._workers.values()
            if worker.slot is None
        ]
        if faults:
            raise EngineError("; ".join(faults))
        if not self._workers:
            raise EngineError(
                f"no worker joined the cluster in {_JOIN_SECONDS:.0f} s; start one a GPU with "
                "'dask worker --scheduler-file F --nthreads 1 --memory-limit 0'"
            )

    def _refresh(self) -> None:
        """Look who is there, ask those who are new, and hear the answers."""
        self._refreshed = time.monotonic()
        known = self._known()
        live = {str(info.get("nanny")): address for address, info in known.items()}
        for address, info in known.items():
            if info.get("nanny") is None:
                self._refused.setdefault(
                    address, "it has no nanny, so that a hanging job could not be stopped"
                )
        self._refused = {a: why for a, why in self._refused.items() if a in known}
        self._workers = {
            nanny: worker
            for nanny, worker in self._workers.items()
            if live.get(nanny) == worker.address
        }
        for nanny, address in live.items():
            if nanny not in self._workers and address not in self._refused:
                self._workers[nanny] = _Worker(address)
        for nanny, worker in list(self._workers.items()):
            if worker.slot is None:
                self._question(nanny, worker)

    def _question(self, nanny: str, worker: _Worker) -> None:
        """Ask a worker who it is, or hear what it answers."""
        now = time.monotonic()
        if worker.probe is None:
            worker.probe = self._send(worker.address, probe, {"token_file": str(self._token)})
            worker.asked = now
            self._questions[nanny] += 1
            return
        if not worker.probe.done():
            if now - worker.asked > _ASK_SECONDS and self._questions[nanny] < _PROBES:
                self.replace(nanny)
            return
        failed = worker.probe.cancelled() or worker.probe.exception() is not None
        if failed and self._questions[nanny] < _PROBES:
            worker.probe = None
            return
        if failed:
            why: str | None = f"it dies of {_PROBES} questions ({worker.probe})"
        else:
            told = worker.probe.result()
            why = fault(told, self._token.name, self._out, cpu_only=self._cpu_only)
        if why is not None:
            self._refused[worker.address] = why
            del self._workers[nanny]
            return
        self._questions[nanny] = 0
        gpu = bool(told["gpus"]) and not self._cpu_only
        device = f"{told['host']} {told['gpus'][0]}" if gpu else nanny
        worker.slot = Slot(nanny, "cuda:0" if gpu else "cpu", device)

    def _known(self) -> dict[str, dict[str, Any]]:
        """Return what the scheduler knows of its workers, by address."""
        if self._client.status == "closed":
            raise EngineError(
                "the dask scheduler is gone; what is done is kept, and the same command continues "
                "when it runs again"
            )
        client = self._client
        try:
            told = within(
                _CALL_SECONDS,
                lambda: client.sync(
                    client.scheduler.identity, n_workers=-1, callback_timeout=_CALL_SECONDS
                ),
            )
        except Exception as error:  # noqa: BLE001 - in one of dask's many ways; it may come back
            logger.warning("the dask scheduler does not answer: %r", error)
            return {}
        found: dict[str, dict[str, Any]] = told["workers"]
        return found

    def _send(
        self, address: str, function: Callable[..., Any], arguments: Mapping[str, Any]
    ) -> Future[Any]:
        try:
            executor = self._client.get_executor(
                workers=[address], allow_other_workers=False, pure=False, retries=0
            )
            return within(_CALL_SECONDS, lambda: executor.submit(function, **arguments))
        except Exception as error:
            raise EngineError(f"dask does not take jobs: {error!r}") from error


def _connect(scheduler_file: Path) -> Any:
    """Return a dask client.

    Raises:
        EngineError: dask is not installed, or no scheduler answers.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise EngineError(
            "--engine dask needs the extra: pip install 'hashattack[dask]'"
        ) from error
    if not scheduler_file.is_file():
        raise EngineError(
            f"{scheduler_file} does not exist; 'dask scheduler --scheduler-file F' writes it"
        )
    for name in ("distributed", "tornado"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # the loop says what matters
    try:
        return Client(scheduler_file=str(scheduler_file), timeout=_CALL_SECONDS)
    except Exception as error:
        raise EngineError(f"no scheduler answers at {scheduler_file}: {error!r}") from error


def _blame_at_once(dask_scheduler: Any = None) -> None:
    """Tell the scheduler never to run a task again whose worker died: the loop decides."""
    dask_scheduler.allowed_failures = 0
