"""What a worker does with a job: run it, and leave a record in the store, also of a failure."""

from __future__ import annotations

import errno
import gc
import logging
import os
import platform
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from hashattack.benchmark.audit import InvalidAttackError
from hashattack.benchmark.jobs import Context, Job, Progress
from hashattack.benchmark.networks import numerics, out_of_memory
from hashattack.benchmark.provenance import code_digest, device_name, versions
from hashattack.benchmark.store.files import write_json
from hashattack.benchmark.store.folder import current_run, log_file, progress_file
from hashattack.benchmark.store.journal import Journal
from hashattack.benchmark.store.keys import canonical, digest
from hashattack.benchmark.store.store import JobRef, Store
from hashattack.datasets.errors import UserError

logger = logging.getLogger(__name__)

_PROGRESS_SECONDS = 0.3
_FULL = {errno.ENOSPC, errno.EDQUOT}
_DEVICE_ERRORS = ("CUDA", "cuDNN", "CUBLAS", "cuBLAS")
_INPUT_SECONDS = 60.0  # for an input's record to appear on a shared file system


@dataclass(frozen=True)
class RunInfo:
    """What the driver sends its workers about a run."""

    run: str
    out: Path
    cache: Path
    revision: str | None


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
    except OSError as error:  # not even the failure could be recorded
        status, reason = "full" if is_full(error, run.out) else "crashed", str(error)
    if device.startswith("cuda") and status not in ("memory", "crashed"):
        gc.collect()
        torch.cuda.empty_cache()  # for the other process of the slot
    return {"status": status, "reason": reason}


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
            context = Context(store, job.inputs, run.cache, device, report, journal, halvings)
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
                "notes": [*_notes(job, halvings), *output.notes],
                "task": canonical(job.task),
                "input_keys": {role: ref.key for role, ref in job.inputs.items()},
            }
            store.finish(job.ref, output.arrays, output.data, inputs, provenance)
            journal.clear()
        except InvalidAttackError as error:
            store.fail(job.ref, "invalid", str(error), data=error.data, inputs=inputs)
            return "invalid", str(error)
        except Exception as error:  # noqa: BLE001 - every failure is a row
            logger.error("%s failed: %s", job.label, traceback.format_exc())
            return _failed(store, job, error, log, run.out)
    return "ok", ""


def _output_hash(store: Store, ref: JobRef) -> str:
    """Return the hash of an input's tensors; on a network file system its record can be late."""
    ends = time.monotonic() + _INPUT_SECONDS
    while not store.is_done(ref) and time.monotonic() < ends:
        time.sleep(1)
    return store.output(ref)


def _failed(store: Store, job: Job, error: Exception, log: Path, out: Path) -> tuple[str, str]:
    """Record a failure, or return a status on which the driver acts."""
    reason = f"{type(error).__name__}: {error} (see {log})"
    if isinstance(error, SupersededError):  # the store is the other run's
        return "failed", str(error)
    if isinstance(error, OSError) and is_full(error, out):
        return "full", str(error)
    if out_of_memory(error):
        return "memory", reason
    if isinstance(error, RuntimeError) and any(name in str(error) for name in _DEVICE_ERRORS):
        return "crashed", reason
    data = None
    if isinstance(error, UserError):
        reason, data = str(error), error.data
    store.fail(job.ref, "failed", reason, data=data)
    return "failed", reason


def is_full(error: OSError, folder: Path) -> bool:
    """Return whether the disk of a folder is full; a full disk elsewhere fails only the job."""
    named = Path(str(error.filename)) if error.filename else folder
    return error.errno in _FULL and named.is_relative_to(folder)


def _notes(job: Job, halvings: int) -> list[str]:
    """Return what a reader of the row must know about how its job ran."""
    batch = job.resources.batch
    if not halvings or batch is None:
        return []
    return [f"{job.label}: {batch >> halvings} images at a time, as {batch} did not fit the memory"]


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
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
            write_json(path, {"done": done, "total": total, "unit": unit})
        except OSError as error:
            if is_full(error, run.out):
                raise
            logger.warning("progress could not be written: %s", error)

    try:
        yield report
    finally:
        path.unlink(missing_ok=True)
