"""Shared fixtures: one cache, one smoke run, one small world, an engine in this process."""

from __future__ import annotations

import functools
import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from typer.testing import CliRunner

from hashattack.benchmark import running
from hashattack.benchmark.cli.main import app
from hashattack.benchmark.contract.world import DIGITS, World
from hashattack.benchmark.contract.world import untrained as untrained
from hashattack.benchmark.engines.base import HARNESS, Engine, Function, Slot, cpu_slots
from hashattack.benchmark.external.export import export_trials
from hashattack.benchmark.external.trials import Origin
from hashattack.benchmark.jobs import Job
from hashattack.benchmark.plan.plan import Plan, make_plan
from hashattack.benchmark.progress.events import Event
from hashattack.benchmark.schedule import execution
from hashattack.benchmark.schedule.execution import Accepts, JobRecords
from hashattack.benchmark.schedule.loop import Loop, RunOutcome
from hashattack.benchmark.suites.suite import Suite, validate
from hashattack.datasets import digits as digits_module
from hashattack.datasets.base import RetrievalData
from tests.photos import photo_folder

torch.set_num_threads(1)  # small tensors, and the same bits whatever the machine
digits_module._digit_pools = functools.cache(digits_module._digit_pools)  # reading takes seconds

# readline, which pytest imports, sets it in C; processes of xdist inherit it.
os.environ.pop("COLUMNS", None)

ROOT = Path(__file__).parent.parent
SMALL_DIGITS = asdict(DIGITS)
TIMES = ["seconds_per_image", "fit_seconds"]  # columns that differ from run to run


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Return a folder of all test processes."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@pytest.fixture(scope="session")
def cache(shared: Path) -> Path:
    """Return the cache of all tests. Those that look at what is in a cache make their own."""
    return shared / "cache"


@pytest.fixture(scope="session")
def digits(cache: Path) -> RetrievalData:
    return DIGITS.load(cache)


@pytest.fixture(scope="session")
def world(digits: RetrievalData) -> World:
    return World(digits)


def run_process(*arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does: it and its workers take ten seconds to start."""
    return subprocess.run(
        [sys.executable, str(ROOT / "run_benchmark.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=ROOT,
        env=dict(os.environ),  # what C code set, see above, is not in it
        check=False,
    )


class StandardError(logging.Handler):
    """Prints what the driver logs; workers log to files."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != execution.__name__:
            sys.stderr.write(f"{self.format(record)}\n")


def run_cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line, and its jobs, in this process.

    Code that may end or change its process needs :func:`run_process`.
    """
    handler = StandardError(logging.WARNING)
    logging.getLogger().addHandler(handler)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(running, "LocalEngine", lambda slots: InlineEngine(len(slots)))
            done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    finally:
        logging.getLogger().removeHandler(handler)
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let reports that this process writes draw nothing, which takes seconds."""
    monkeypatch.setattr("hashattack.reports.figures.draw_figures", lambda *_: [])
    monkeypatch.setattr("hashattack.reports.report.Runs.galleries", lambda _: [])


@dataclass(frozen=True)
class SmokeRun:
    """A finished run of the smoke suite. Tests read it; those that damage it copy it first."""

    out: Path
    printed: str


@pytest.fixture(scope="session")
def smoke(shared: Path, cache: Path) -> SmokeRun:
    """Return the one smoke run of all test processes: the first that asks makes it."""
    out, printed = shared / "smoke", shared / "smoke.txt"
    with FileLock(shared / "smoke.lock"):
        if not printed.is_file():
            places = ["--out", str(out), "--cache", str(cache)]
            done = run_process("run", "--suite", "smoke", *places, "--slots-per-device", "1")
            assert done.returncode == 0, done.stdout + done.stderr
            printed.write_text(done.stdout, encoding="utf-8")
    return SmokeRun(out, printed.read_text(encoding="utf-8"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of photographs with its lists; see :func:`photo_folder`."""
    return photo_folder(tmp_path / "photos")


@pytest.fixture(scope="session")
def origin(smoke: SmokeRun, cache: Path) -> Origin:
    """Return the smoke run as what trials are exported from and scored against."""
    return Origin.of(smoke.out, cache)


@pytest.fixture(scope="session")
def trials(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return its trials, exported with the queries' images. Tests read them."""
    to = tmp_path_factory.mktemp("trials")
    export_trials(origin, to, images=True)
    return to


class InlineEngine(Engine):
    """Runs jobs in this process, so that a test can plant faults in what they use."""

    def __init__(self, count: int = 1) -> None:
        self.replaced = 0
        self._slots = {slot.name: slot for slot in cpu_slots(count)}

    def slots(self) -> Mapping[str, Slot]:
        return self._slots

    def submit(
        self, slot: str, function: Function, /, *, isolation: str = HARNESS, **arguments: Any
    ) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(function(**arguments))
        return future

    def replace(self, slot: str) -> None:
        self.replaced += 1

    def close(self) -> None: ...


@dataclass
class Recorder:
    """A listener that keeps which jobs ran and why some were tried again."""

    ran: list[str] = field(default_factory=list)
    retried: list[str] = field(default_factory=list)  # reasons

    def __call__(self, event: Event) -> None:
        if event.kind == "started" and event.job is not None:
            self.ran.append(event.job.label)
        if event.kind == "retry":
            self.retried.append(str(event.reason))


def small_suite(**changes: Any) -> Suite:
    """Return a suite that runs in a second or two, untrained targets included."""
    content: dict[str, Any] = {
        "name": "small",
        "datasets": [{"dataset": "digits", "params": SMALL_DIGITS}],
        "targets": [
            {
                "method": "DPSH",
                "backbone": "Tiny",
                "bits": [12],
                "weights": "none",
                "training": {"epochs": 1, "learning_rate": 0.02},
            }
        ],
        "attacks": ["original", {"attack": "dhta", "params": {"steps": 2, "rule": "l2"}}],
        "queries": 10,
        "n_t": 1,
        "compute": {"batch": 4},
    }
    return validate(Suite, {**content, **changes}, "test:")


def run_inline(
    suite: Suite, cache: Path, out: Path, listener: Recorder | None = None
) -> tuple[Plan, RunOutcome]:
    """Plan and run a suite in this process."""
    from hashattack.benchmark.results.manifest import manifest_of, write_manifest

    plan = make_plan(suite, cache)
    write_manifest(manifest_of(plan), out)
    return plan, run_jobs(plan.jobs, out, InlineEngine(), listener, cache)


def run_jobs(
    jobs: Mapping[str, Job],
    out: Path,
    engine: Engine,
    listener: Recorder | None = None,
    cache: Path | None = None,
    patience: float = 900.0,
    accepts: Accepts = lambda _job, _provenance: True,
) -> RunOutcome:
    """Run a graph to its end, every job estimated at a tenth of a second."""
    loop = Loop(
        jobs,
        dict.fromkeys(jobs, 0.1),
        engine=engine,
        records=JobRecords(out, cache or out, accepts=accepts),
        listeners=() if listener is None else (listener,),
        patience=patience,
    )
    try:
        return loop.run()
    finally:
        engine.close()
