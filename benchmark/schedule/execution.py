"""Jobs and their records: what the driver reads of them, and how a worker runs and records one."""

from __future__ import annotations

import errno
import gc
import logging
import os
import platform
import time
import traceback
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from hashattack.benchmark.audit import InvalidAttackError, loss_curves
from hashattack.benchmark.engines.base import Function
from hashattack.benchmark.jobs import Context, Job, Progress
from hashattack.benchmark.networks import numerics, out_of_memory
from hashattack.benchmark.provenance import code_digest, device_name, revision, versions
from hashattack.benchmark.store.folder import current_run, log_file, progress_file, take_over
from hashattack.benchmark.store.journal import Journal
from hashattack.benchmark.store.keys import canonical, digest
from hashattack.benchmark.store.store import JobRef, Store
from hashattack.datasets.errors import UserError
from hashattack.datasets.files import FullDiskError, read_checked, write_checked
from hashattack.datasets.texts import error_line, one_line, printable

logger = logging.getLogger(__name__)

_PROGRESS_SECONDS = 0.3
_FULL = {errno.ENOSPC, errno.EDQUOT}
_DEVICE_ERRORS = ("CUDA", "cuDNN", "CUBLAS", "cuBLAS")
_INPUT_SECONDS = 60.0  # for an input's record to appear on a shared file system

# Whether a finished job counts as done, by its provenance.
Accepts = Callable[[Job, Mapping[str, Any]], bool]


@dataclass(frozen=True)
class RunInfo:
    """What the driver sends its workers about a run."""

    run: str
    out: Path
    cache: Path
    revision: str | None


@dataclass
class JobRecords:
    """Start markers, records and progress files of a run in the output folder ``out``."""

    out: Path
    cache: Path  # where data sets lie
    keep_failures: bool = False  # do not run failed jobs again
    accepts: Accepts = lambda _job, _provenance: True
    verify: bool = False  # hash all artifacts, also those that seem unchanged
    run: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    def __post_init__(self) -> None:
        self._store = Store(self.out / "store")
        self._run_info = RunInfo(self.run, self.out, self.cache, revision())
        self._halvings: Counter[str] = Counter()
        take_over(self.out, self.run)

    def known_status(self, job: Job) -> tuple[str, str] | None:
        """Return the status and reason that a job has already, or None where it must run."""
        inputs = {role: self._store.output(ref) for role, ref in job.inputs.items()}
        record = self._store.record(job.ref)
        if record is not None and not self.accepts(job, record["provenance"]):
            return None
        if self._store.is_current(job.ref, inputs, verify=self.verify):
            return "cached", ""
        failure = self._store.failure(job.ref)
        if failure is None:
            return None
        invalid = self._store.is_invalid(job.ref, inputs)
        kept = self.keep_failures and failure["status"] == "failed"
        return (failure["status"], str(failure["reason"])) if invalid or kept else None

    def call(self, job: Job, torch_device: str) -> tuple[Function, dict[str, Any]]:
        """Return the function that a worker runs for the job, and its arguments."""
        halvings = self._halvings[job.key]
        arguments = {"job": job, "run": self._run_info, "device": torch_device}
        return execute, {**arguments, "halvings": halvings}

    def starts(self, job: Job) -> int:
        """Return how many attempts at the job this run has started."""
        return self._store.attempts(job.ref, self.run)

    def finished(self, job: Job) -> bool:
        """Return whether the job has a done record of this run."""
        record = self._store.record(job.ref)
        return record is not None and record["provenance"].get("run") == self.run

    def progress(self, job: Job) -> tuple[int, int, str] | None:
        """Return how far a running job is: done, total, unit."""
        found = read_checked(progress_file(self.out, job.key))
        return None if found is None else (found["done"], found["total"], found["unit"])

    def halve(self, job: Job) -> bool:
        """Halve the batch of the job's next attempt; return False where it cannot be halved."""
        halvings = self._halvings[job.key] + 1
        if not job.resources.divisible or not (job.resources.batch or 0) >> halvings:
            return False
        self._halvings[job.key] = halvings
        return True

    def fail(self, job: Job, reason: str) -> str:
        """Record that the job failed; return the reason with the name of the last log."""
        attempt = self.starts(job)
        if attempt:
            reason += f" (see {log_file(self.out, job.ref, self.run, attempt)})"
        self._store.fail(job.ref, "failed", reason)
        return reason


class SupersededError(UserError):
    """Another run has taken over the output folder; this worker's driver is dead."""


def execute(*, job: Job, run: RunInfo, device: str, halvings: int = 0) -> dict[str, str]:
    """Run one job in this process and return how it ended: ``status`` and ``reason``.

    The status is ok, failed or invalid, or what the driver acts on: ``memory`` (too little on the
    device), ``crashed`` (the device is in an unknown state), ``full`` (the disk is). Every
    exception is caught and the answer is a plain dict, because exceptions of other libraries break
    process pools.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it, bits do not repeat
    logging.raiseExceptions = False  # a log that cannot be written must not fail the job
    try:
        status, reason = _attempt(job, run, torch.device(device), halvings)
    except BaseException as error:  # noqa: BLE001 - not even the failure could be recorded
        full = isinstance(error, OSError) and is_full(error, run.out)
        status, reason = "full" if full else "crashed", error_line(error)
    if device.startswith("cuda") and status not in ("memory", "crashed"):
        gc.collect()
        torch.cuda.empty_cache()  # for the other process of the slot
    return {"status": status, "reason": one_line(reason)}


def _attempt(job: Job, run: RunInfo, device: torch.device, halvings: int) -> tuple[str, str]:
    store = Store(run.out / "store")
    marker = {"pid": os.getpid(), "host": platform.node(), "halvings": halvings}
    attempt = store.start(job.ref, run.run, marker)
    log = log_file(run.out, job.ref, run.run, attempt)
    began = time.time()
    inputs: dict[str, str] = {}
    with _logging_to(log), _reporting(run, job.key) as report:
        logger.info("%s, key %s: attempt %d, %s", job.label, job.key, attempt, marker)
        try:
            inputs = {role: _output_hash(store, ref) for role, ref in job.inputs.items()}
            torch.set_num_threads(job.resources.threads)
            journal = Journal(store.folder(job.ref), digest([inputs, code_digest()]))
            context = Context(
                store=store,
                inputs=job.inputs,
                cache=run.cache,
                journal=journal,
                device=device,
                progress=report,
                halvings=halvings,
            )
            with numerics(job.resources.precision, device):
                output = job.run(context)
            provenance = {
                **versions(),
                "device": device_name(device),
                "torch_device": str(device),
                "host": platform.node(),
                "revision": run.revision,
                "run": run.run,
                "attempt": attempt,
                "began": began,
                "seconds": time.time() - began,
                "notes": [*([_halved(job, halvings)] if halvings else []), *output.notes],
                "task": canonical(job.task),
                "input_keys": {role: ref.key for role, ref in job.inputs.items()},
            }
            store.finish(job.ref, output.arrays, output.data, inputs, provenance)
            journal.clear()
        except InvalidAttackError as error:
            reason = error_line(error)
            store.fail(job.ref, "invalid", reason, data=_data(error), inputs=inputs)
            return "invalid", reason
        except BaseException as error:  # noqa: BLE001 - every failure is a row
            logger.error("%s failed: %s", job.label, printable(traceback.format_exc()))
            return _failed(store, job, error, log, run.out)
    return "ok", ""


def _output_hash(store: Store, ref: JobRef) -> str:
    """Return the hash of an input's tensors; on a network file system its record can be late."""
    ends = time.monotonic() + _INPUT_SECONDS
    while not store.is_done(ref) and time.monotonic() < ends:
        time.sleep(1)
    return store.output(ref)


def _failed(store: Store, job: Job, error: BaseException, log: Path, out: Path) -> tuple[str, str]:
    """Record a failure, or return a status on which the driver acts."""
    reason = f"{error_line(error)} (see {log})"
    if isinstance(error, SupersededError):  # the store is the other run's
        return "failed", str(error)
    if isinstance(error, FullDiskError) and is_full(error, out):  # not one that an attack raised
        return "full", str(error)
    if out_of_memory(error):
        return "memory", reason
    if isinstance(error, RuntimeError) and any(name in reason for name in _DEVICE_ERRORS):
        return "crashed", reason
    data = None
    if isinstance(error, UserError):
        reason, data = error_line(error), _data(error)
    store.fail(job.ref, "failed", reason, data=data)
    return "failed", reason


def _data(error: UserError) -> dict[str, Any]:
    """Return the numbers and the loss curves that an error holds; nothing where it holds others."""
    try:
        held = dict(error.data)
        curves = loss_curves(held.pop("curves", {}))
        numbers = loss_curves({name: [value] for name, value in held.items()})
    except Exception:  # noqa: BLE001 - code of a plug-in has made it
        return {}
    return {name: value for name, [value] in numbers.items()} | {"curves": curves}


def is_full(error: OSError, folder: Path) -> bool:
    """Return whether the disk of a folder is full; a full disk elsewhere fails only the job."""
    named = Path(str(error.filename)) if error.filename else folder
    return error.errno in _FULL and named.is_relative_to(folder)


def _halved(job: Job, halvings: int) -> str:
    """Return what a reader of the row must know about a job that ran with smaller batches."""
    batch = job.resources.batch or 0
    return f"{job.label}: {batch >> halvings} images at a time, as {batch} did not fit the memory"


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


@contextmanager
def _reporting(run: RunInfo, key: str) -> Iterator[Progress]:
    """Give a callback that writes the job's progress to a file, a few times a second.

    The callback raises SupersededError when the folder belongs to another run: on a cluster a
    worker outlives its driver.
    """
    path = progress_file(run.out, key)
    last = 0.0

    def report(done: int, total: int, unit: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < _PROGRESS_SECONDS:
            return
        last = now
        if current_run(run.out) not in (None, run.run):
            raise SupersededError(f"another run writes to {run.out} now")
        try:
            write_checked(path, {"done": int(done), "total": int(total), "unit": one_line(unit)})
        except OSError as error:
            if is_full(error, run.out):
                raise
            logger.warning("progress could not be written: %s", error)

    try:
        yield report
    finally:
        path.unlink(missing_ok=True)
