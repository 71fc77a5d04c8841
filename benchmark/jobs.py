"""A job: a frozen task, its key, and the function a worker runs it with.

The key is the SHA-256 of canonical JSON of (stage, version, the task's fields, keys of the
inputs). Code revision, host and device are provenance, never part of it.
"""

from __future__ import annotations

import functools
import logging
import os
import platform
import subprocess
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
import torchvision

from benchmark.audit import InvalidAttackError
from benchmark.journal import Journal
from benchmark.records import digest
from benchmark.store import Arrays, JobRef, Store, write_json
from datasets.errors import UserError

logger = logging.getLogger(__name__)

Progress = Callable[[int, int, str], None]
_PROGRESS_SECONDS = 0.3


@dataclass(frozen=True)
class Compute:
    """How networks are run. Part of the keys: other values may change the last bits."""

    batch: int = 32
    threads: int = 1
    dtype: str = "float32"


@dataclass(frozen=True)
class Output:
    """What a task hands to the store: named arrays, and numbers for the result row."""

    arrays: Arrays
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """What a task may use while it runs."""

    store: Store
    inputs: Mapping[str, JobRef]
    cache: Path
    device: torch.device
    progress: Progress
    journal: Journal

    def arrays(self, role: str) -> Arrays:
        """Return the verified tensors of an input job."""
        return self.store.arrays(self.inputs[role])

    def data(self, role: str) -> Mapping[str, Any]:
        """Return the numbers an input job recorded."""
        return dict((self.store.record(self.inputs[role]) or {"data": {}})["data"])


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """One stage of the pipeline with its parameters."""

    stage: ClassVar[str]
    version: ClassVar[int] = 1  # raise it when the stage's results change

    @property
    @abstractmethod
    def label(self) -> str:
        """What a person calls this job."""

    @property
    def cpu_threads(self) -> int:
        """Threads the job runs on; part of its key where it runs a network."""
        return 1

    @abstractmethod
    def run(self, context: Context) -> Output:
        """Do the work."""


@dataclass(frozen=True)
class Job:
    """A task bound to the jobs it reads."""

    task: Task
    inputs: Mapping[str, JobRef]
    key: str

    @classmethod
    def of(cls, task: Task, inputs: Mapping[str, Job]) -> Job:
        """Bind a task to its inputs and derive the key."""
        key = digest(
            {
                "stage": task.stage,
                "version": task.version,
                "task": task,
                "inputs": {role: job.key for role, job in inputs.items()},
            }
        )
        return cls(task, {role: job.ref for role, job in inputs.items()}, key[:40])

    @property
    def ref(self) -> JobRef:
        """Where the store keeps this job."""
        return JobRef(self.task.stage, self.key)


def execute(
    job: Job, *, run: str, out: Path, cache: Path, device: str, revision: str | None
) -> dict[str, str]:
    """Run one job in this process and leave its record in the store.

    Every exception is caught, because foreign exception classes break process pools: the answer
    is a plain dict of ``status`` (ok, failed, invalid) and ``reason``.
    """
    store = Store(out / "store")
    attempt = store.start(job.ref, run, {"pid": os.getpid(), "host": platform.node()})
    log = out / "logs" / f"{job.task.stage}-{job.key[:12]}-{run}-{attempt}.log"
    progress_file = out / "running" / f"{job.key}.json"
    log.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(log, encoding="utf-8", delay=True)
    logging.getLogger().addHandler(handler)
    began = time.time()
    inputs: dict[str, str] = {}
    try:
        inputs = {role: store.output(ref) for role, ref in job.inputs.items()}
        torch.set_num_threads(job.task.cpu_threads)
        target = torch.device(device)
        report = _reporter(progress_file)
        context = Context(store, job.inputs, cache, target, report, Journal(store.folder(job.ref)))
        output = job.task.run(context)
        provenance = {
            **versions(),
            "device": device_name(target),
            "host": platform.node(),
            "revision": revision,
            "attempt": attempt,
            "began": began,
            "seconds": time.time() - began,
        }
        store.finish(job.ref, output.arrays, output.data, inputs, provenance)
        context.journal.clear()
    except InvalidAttackError as error:
        store.fail(job.ref, "invalid", str(error), data=error.data, inputs=inputs)
        return {"status": "invalid", "reason": str(error)}
    except Exception as error:  # noqa: BLE001 - a failure is a row, whatever it was
        logger.error("%s failed: %s", job.task.label, traceback.format_exc())
        reason, data = f"{type(error).__name__}: {error} (see {log})", None
        if isinstance(error, UserError):
            reason, data = str(error), error.data
        store.fail(job.ref, "failed", reason, data=data)
        return {"status": "failed", "reason": reason}
    finally:
        progress_file.unlink(missing_ok=True)
        logging.getLogger().removeHandler(handler)
        handler.close()
    return {"status": "ok", "reason": ""}


def _reporter(path: Path) -> Progress:
    """Return a progress callback that leaves its latest numbers in a file, a few times a second."""
    last = 0.0

    def report(done: int, total: int, unit: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _PROGRESS_SECONDS:
            last = now
            write_json(path, {"done": done, "total": total, "unit": unit})

    return report


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions results may depend on."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "machine": platform.machine(),
    }


def device_name(device: torch.device) -> str:
    """Return a device's name for the result row."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return device.type


def revision() -> str | None:
    """Return the git revision of this program, where it runs from a checkout."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
