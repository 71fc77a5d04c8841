"""The same suite on a local dask cluster, one worker of which is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, SmokeRun, run_cli
from tests.processes import children, start, wait_until
from tests.test_kills import command, marks, same_table

pytest.importorskip("distributed", reason="the extra 'dask' is not installed")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds processes by ps")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """Start a scheduler and two workers; give its file and the process that has the workers."""
    folder = tmp_path_factory.mktemp("cluster")
    file = folder / "scheduler.json"
    scheduler = ["distributed.cli.dask_scheduler", "--scheduler-file", str(file), "--port", "0"]
    workers = ["distributed.cli.dask_worker", "--scheduler-file", str(file), "--nthreads", "1"]
    workers += ["--nworkers", "2", "--local-directory", str(folder)]
    paths = [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", *command, "--no-dashboard"],
            env=environment,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for command in (scheduler, workers)
    ]
    wait_until(file.exists, "the scheduler writes its file")
    yield file, started[1].pid
    for process in started:
        process.terminate()
    for process in started:
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def test_the_same_table_though_a_worker_is_killed(
    cluster: tuple[Path, int], smoke: SmokeRun, cache: Path, tmp_path: Path
) -> None:
    file, nannies = cluster
    out = tmp_path / "out"
    run = command(out, cache, ["--only", "attack=dhta"])
    driver = start(*run, "--engine", "dask", "--scheduler-file", str(file))
    wait_until(lambda: marks(out) > 5 or driver.poll() is not None, "jobs begin")
    victim = next(pid for pid in children(nannies) if b"spawn_main" in _command_line(pid))
    os.kill(victim, signal.SIGKILL)
    printed, _ = driver.communicate(timeout=280)
    assert driver.returncode == 0, printed
    same_table(out, smoke)


def _command_line(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_a_missing_scheduler_is_one_clear_message(tmp_path: Path) -> None:
    arguments = ["run", "-s", "smoke", "-o", str(tmp_path / "out"), "--cache", str(tmp_path)]
    alone = run_cli(*arguments, "--engine", "dask")
    assert alone.returncode == 2
    assert "--engine dask and --scheduler-file F go together" in alone.stderr
