"""What a worker does with a job: run it, and leave a record in the store whatever happens."""

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
from hashattack.benchmark.numerics import numerics, out_of_memory
from hashattack.benchmark.program import code_digest
from hashattack.benchmark.provenance import device_name, versions
from hashattack.benchmark.store.files import write_json
from hashattack.benchmark.store.folder import current_run, log_file, progress_file
from hashattack.benchmark.store.journal import Journal
from hashattack.benchmark.store.keys import canonical, digest
from hashattack.benchmark.store.store import JobRef, Store
from hashattack.datasets.errors import UserError

logger = logging.getLogger(__name__)

_PROGRESS_SECONDS = 0.3
_FULL = {errno.ENOSPC, errno.EDQUOT}
_BROKEN = ("CUDA", "cuDNN", "CUBLAS", "cuBLAS")
_UNSEEN_SECONDS = 60.0  # for an input's record to show on a shared file system


@dataclass(frozen=True)
class Order:
    """What the driver says about a run to its workers."""

    run: str
    out: Path
    cache: Path
    revision: str | None


@dataclass(frozen=True)
class Answer:
    """How an attempt ended, in words; results are in the store.

    ``status`` is ok, failed or invalid, or what the driver acts on: ``memory`` (the device has
    too little), ``crashed`` (the device is in an unknown state), ``full`` (the disk is).
    """

    status: str
    reason: str = ""

    @property
    def spoilt(self) -> bool:
        """Return whether the worker's process cannot be used again."""
        return self.status in ("memory", "crashed")


class SupersededError(UserError):
    """Another run has taken over the output folder; this worker's driver is dead."""


def execute(*, job: Job, order: Order, device: str, halvings: int = 0) -> dict[str, str]:
    """Run one job in this process.

    Every exception is caught, because foreign exception classes break process pools: the answer
    is a plain dict, the fields of :class:`Answer`.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it, bits do not repeat
    logging.raiseExceptions = False  # a log that cannot be written is not the job's fault
    try:
        answer = _attempt(job, order, torch.device(device), halvings)
    except OSError as error:  # not even the failure could be recorded
        answer = Answer("full" if is_full(error, order.out) else "crashed", str(error))
    if device.startswith("cuda") and not answer.spoilt:
        gc.collect()
        torch.cuda.empty_cache()  # for the other process of the slot
    return {"status": answer.status, "reason": answer.reason}


def _attempt(job: Job, order: Order, device: torch.device, halvings: int) -> Answer:
    store = Store(order.out / "store")
    about = {"pid": os.getpid(), "host": platform.node(), "halvings": halvings}
    attempt = store.start(job.ref, order.run, about)
    log = log_file(order.out, job.ref, order.run, attempt)
    began = time.time()
    inputs: dict[str, str] = {}
    with _logging_to(log), _reporting(order, job.key) as report:
        logger.info("%s, key %s: attempt %d, %s", job.label, job.key, attempt, about)
        try:
            inputs = {role: _output(store, ref) for role, ref in job.inputs.items()}
            torch.set_num_threads(job.resources.threads)
            journal = Journal(store.folder(job.ref), digest([inputs, code_digest()]))
            context = Context(store, job.inputs, order.cache, device, report, journal, halvings)
            with numerics(job.resources.precision, device):
                output = job.task.run(context)
            provenance = {
                **versions(),
                "device": device_name(device),
                "torch_device": str(device),
                "host": platform.node(),
                "revision": order.revision,
                "run": order.run,
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
            return Answer("invalid", str(error))
        except Exception as error:  # noqa: BLE001 - a failure is a row, whatever it was
            logger.error("%s failed: %s", job.label, traceback.format_exc())
            return _failed(store, job, error, log, order.out)
    return Answer("ok")


def _output(store: Store, ref: JobRef) -> str:
    """Return the hash of an input's tensors; on a network file system its record can be late."""
    ends = time.monotonic() + _UNSEEN_SECONDS
    while not store.is_done(ref) and time.monotonic() < ends:
        time.sleep(1)
    return store.output(ref)


def _failed(store: Store, job: Job, error: Exception, log: Path, out: Path) -> Answer:
    """Record a failure, or tell the driver what it has to act on."""
    reason = f"{type(error).__name__}: {error} (see {log})"
    if isinstance(error, SupersededError):  # what is in the store is the other run's to say
        return Answer("failed", str(error))
    if isinstance(error, OSError) and is_full(error, out):
        return Answer("full", str(error))
    if out_of_memory(error):
        return Answer("memory", reason)
    if isinstance(error, RuntimeError) and any(name in str(error) for name in _BROKEN):
        return Answer("crashed", reason)
    if isinstance(error, UserError):
        store.fail(job.ref, "failed", str(error), data=error.data)
        return Answer("failed", str(error))
    store.fail(job.ref, "failed", reason)
    return Answer("failed", reason)


def is_full(error: OSError, folder: Path) -> bool:
    """Return whether the disk of a folder is full; elsewhere it is one job's trouble."""
    named = Path(str(error.filename)) if error.filename else folder
    return error.errno in _FULL and named.is_relative_to(folder)


def _notes(job: Job, halvings: int) -> list[str]:
    """Return what a reader of the row must know about how its job ran."""
    batch = job.resources.batch
    if not halvings or batch is None:
        return []
    sizes = f"{batch >> halvings} images at a time, as {batch} did not fit"
    return [f"{job.label}: {sizes} the memory"]


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
def _reporting(order: Order, key: str) -> Iterator[Progress]:
    """Give a callback that leaves its latest numbers in a file, a few times a second.

    The callback raises SupersededError when the folder belongs to another run: on a cluster a
    worker outlives its driver.
    """
    path = progress_file(order.out, key)
    last = 0.0

    def report(done: int, total: int, unit: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < _PROGRESS_SECONDS:
            return
        last = now
        if current_run(order.out) not in (None, order.run):
            raise SupersededError(f"another run writes to {order.out} now")
        try:
            write_json(path, {"done": done, "total": total, "unit": unit})
        except OSError as error:
            if is_full(error, order.out):
                raise
            logger.warning("progress could not be told: %s", error)

    try:
        yield report
    finally:
        path.unlink(missing_ok=True)
