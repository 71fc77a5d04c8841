"""The dask engine: a slot for each worker of a running cluster (Slurm, SSH, this machine).

Each worker has one job at a time, because dask blames every task it has assigned to a dead worker.
Dask retries nothing, because the graph loop counts tries itself. Results go through the store,
because dask would run a job again whose result lies in a dead worker. A worker is known by its
nanny, which stays when the worker's process is replaced. Every call to dask has a deadline.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from hashattack.attacks.protocols import PROTOCOLS
from hashattack.benchmark.engines.base import HARNESS, Engine, EngineError, Function, Slot
from hashattack.benchmark.provenance import versions
from hashattack.benchmark.registry import registry
from hashattack.benchmark.store.files import write_bytes

logger = logging.getLogger(__name__)

T = TypeVar("T")

_CALL_SECONDS = 20.0
_PROBE_SECONDS = 15.0  # until a worker that does not answer is replaced: it may run an old job
_JOIN_SECONDS = 90.0
_REFRESH_SECONDS = 1.0
_PROBES = 3  # sent to a worker until it is given up
_NOT_INSTALLED = "none"  # in the place of a library's version


@dataclass
class _Worker:
    """A usable worker process and its latest job."""

    address: str
    slot: Slot
    job: Future[Any] | None = None


class DaskEngine(Engine):
    """The workers of a running dask cluster; they stay when the run ends.

    ``scheduler_file`` is what ``dask scheduler --scheduler-file`` writes; ``out`` is the output
    folder, which all workers have to see; with ``cpu_only`` GPUs are not used.
    """

    def __init__(self, scheduler_file: Path, out: Path, *, cpu_only: bool = False) -> None:
        """Connect, and check every worker.

        Raises:
            EngineError: no cluster, no worker, or one that cannot be used; the text says which.
        """
        self._out, self._cpu_only = out, cpu_only
        self._workers: dict[str, _Worker] = {}  # by nanny
        self._unanswered: Counter[str] = Counter()  # probes of a nanny's workers, in a row
        self._refused: dict[str, str] = {}  # address -> why; "" while it restarts
        self._refreshed = -_REFRESH_SECONDS
        self._token = out / f".probe-{uuid.uuid4().hex[:8]}"
        self._client = _connect(scheduler_file)
        try:
            write_bytes(self._token, self._token.name.encode())
            self._ask_scheduler()
            self._check_all()
        except BaseException as error:
            self.close()
            if isinstance(error, EngineError | KeyboardInterrupt | OSError):
                raise
            raise EngineError(f"the dask cluster cannot be used: {error!r}") from error

    def slots(self) -> Mapping[str, Slot]:
        """Return the usable workers; asks the scheduler at most once a second.

        Raises:
            EngineError: the scheduler is gone.
        """
        if time.monotonic() - self._refreshed >= _REFRESH_SECONDS:
            self._refresh()
        return {nanny: worker.slot for nanny, worker in self._workers.items()}

    def submit(
        self, slot: str, function: Function, /, *, isolation: str = HARNESS, **arguments: Any
    ) -> Future[Any]:
        """Run a function on a free slot; a worker is one process, so jobs are not isolated."""
        del isolation
        worker = self._workers.get(slot)
        if worker is None:
            raise EngineError(f"worker {slot} has left")
        worker.job = self._send(worker.address, function, arguments)
        return worker.job

    def replace(self, slot: str) -> None:
        """Let the worker's nanny restart its process; the slot is missing until then."""
        worker = self._workers.pop(slot, None)
        if worker is not None:
            self._restart(worker.address)

    def close(self) -> None:
        """Leave the cluster running, without our jobs."""
        busy = [n for n, one in self._workers.items() if one.job and not one.job.done()]
        for nanny in busy:
            self.replace(nanny)
        if busy:
            time.sleep(_REFRESH_SECONDS)  # for the requests to leave
        self._token.unlink(missing_ok=True)
        with contextlib.suppress(Exception):
            within(_CALL_SECONDS, lambda: self._client.close(timeout=_CALL_SECONDS))

    def _check_all(self) -> None:
        """Wait for the first workers.

        Raises:
            EngineError: there are none, or some that cannot be used.
        """
        ends = time.monotonic() + _JOIN_SECONDS
        self._refresh()
        while time.monotonic() < ends and not self._workers and not any(self._refused.values()):
            time.sleep(_REFRESH_SECONDS)
            self._refresh()
        faults = [f"worker {address}: {why}" for address, why in self._refused.items() if why]
        if faults:
            raise EngineError("; ".join(faults))
        if not self._workers:
            raise EngineError(
                f"no worker joined the cluster in {_JOIN_SECONDS:.0f} s; start one per GPU with "
                "'dask worker --scheduler-file F --nthreads 1 --memory-limit 0'"
            )

    def _refresh(self) -> None:
        """Ask the scheduler for its workers, and probe those that are new."""
        known = self._known_workers()
        self._refused = {a: why for a, why in self._refused.items() if a in known}
        self._workers = {n: one for n, one in self._workers.items() if one.address in known}
        probes = {}
        for address, nanny in known.items():
            if nanny is None:
                self._refuse(address, "it has no nanny, so a hanging job could not be stopped")
            elif nanny not in self._workers and address not in self._refused:
                probes[address] = self._send(address, probe, {"token_file": str(self._token)})
        wait(probes.values(), timeout=_PROBE_SECONDS)
        for address, future in probes.items():
            self._read_probe(address, str(known[address]), future)
        self._refreshed = time.monotonic()

    def _read_probe(self, address: str, nanny: str, future: Future[Any]) -> None:
        """Accept, refuse or restart a worker that was probed."""
        try:
            answer = future.result(timeout=0)
        except Exception as error:  # noqa: BLE001 - late, or its worker died
            self._unanswered[nanny] += 1
            if self._unanswered[nanny] < _PROBES:
                self._restart(address)
            else:
                self._refuse(address, f"it did not answer {_PROBES} probes ({error!r})")
            return
        self._unanswered[nanny] = 0
        why = fault(answer, self._token.name, self._out, cpu_only=self._cpu_only)
        if why is not None:
            self._refuse(address, why)
            return
        gpu = bool(answer["gpus"]) and not self._cpu_only
        device = f"{answer['host']} {answer['gpus'][0]}" if gpu else nanny
        self._workers[nanny] = _Worker(address, Slot(nanny, "cuda:0" if gpu else "cpu", device))

    def _refuse(self, address: str, why: str) -> None:
        if address not in self._refused:
            logger.warning("worker %s is not used: %s", address, why)
        self._refused[address] = why

    def _restart(self, address: str) -> None:
        self._refused[address] = ""
        restart = self._client.restart_workers
        _in_background(lambda: restart([address], timeout=_CALL_SECONDS, raise_for_error=False))

    def _known_workers(self) -> dict[str, str | None]:
        """Return the addresses of the scheduler's workers, with those of their nannies."""
        if self._client.status == "closed":
            raise EngineError(
                "the dask scheduler is gone; finished jobs are kept, and the same command "
                "continues when the scheduler runs again"
            )
        try:
            return self._ask_scheduler()
        except Exception as error:  # noqa: BLE001 - one of many kinds; it may come back
            logger.warning("the dask scheduler does not answer: %r", error)
            return {}

    def _ask_scheduler(self) -> dict[str, str | None]:
        def workers(dask_scheduler: Any) -> dict[str, str | None]:  # local: pickled by value
            # Drop a task whose worker died: the graph loop decides what follows.
            dask_scheduler.allowed_failures = 0
            return {address: worker.nanny for address, worker in dask_scheduler.workers.items()}

        return within(_CALL_SECONDS, lambda: self._client.run_on_scheduler(workers))

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
        logging.getLogger(name).setLevel(logging.CRITICAL)  # the loop reports what matters
    try:
        return Client(scheduler_file=str(scheduler_file), timeout=_CALL_SECONDS)
    except Exception as error:
        raise EngineError(f"no scheduler answers at {scheduler_file}: {error!r}") from error


def _in_background(function: Callable[[], T]) -> Future[T]:
    """Call a function in a daemon thread: unlike a pool's, the interpreter does not wait for it."""
    future: Future[T] = Future()

    def call() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001 - raised where the future is read
            future.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return future


def within(seconds: float, function: Callable[[], T]) -> T:
    """Return what a function returns.

    Raises:
        TimeoutError: it takes longer; it goes on in its thread.
    """
    return _in_background(function).result(timeout=seconds)


def probe(token_file: str) -> dict[str, Any]:
    """Return, on a worker, its versions, host and GPUs, and whether it sees the output folder."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # before CUDA is first used
    token = Path(token_file)
    own = token.with_name(f"{token.name}-{uuid.uuid4().hex[:8]}")
    write_error = None
    try:
        own.write_text("written by a worker")
        own.unlink()
    except OSError as error:
        write_error = error.strerror
    gpus = [str(torch.cuda.get_device_properties(n).uuid) for n in range(torch.cuda.device_count())]
    return {
        "token": token.read_text() if token.is_file() else None,
        "write_error": write_error,
        "versions": {**versions(), **_libraries()},
        "host": platform.node(),
        "gpus": gpus,
    }


def fault(answer: Mapping[str, Any], token: str, out: Path, *, cpu_only: bool) -> str | None:
    """Return why a worker with this answer to its probe cannot be used, or None."""
    if answer["token"] != token:
        return f"it does not see {out}; the folder must be on a file system that all share"
    if answer["write_error"] is not None:
        return f"it cannot write to {out}: {answer['write_error']}"
    for name, ours in {**versions(), **_libraries()}.items():
        theirs = answer["versions"].get(name, ours)  # it may lack a plug-in, which jobs bring
        if ours not in (theirs, _NOT_INSTALLED) and name != "machine":
            return f"it has another version of {name} ({theirs}) than this process ({ours})"
    if len(answer["gpus"]) > 1 and not cpu_only:
        return (
            f"it sees {len(answer['gpus'])} GPUs; start one worker per GPU, each with its own "
            "CUDA_VISIBLE_DEVICES"
        )
    return None


def _libraries() -> dict[str, str]:
    """Return the versions of the libraries that registered attacks need, by module."""
    attacks = (entry.build(PROTOCOLS["released"]) for entry in registry().attacks.values())
    needed = {library for attack in attacks for library in attack.libraries}
    return {one.module: _NOT_INSTALLED if one.missing else one.version for one in needed}
