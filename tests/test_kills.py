"""Runs that are killed, interrupted and restarted end with the table of an undisturbed one."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hashattack.benchmark.jobs import Job
from hashattack.benchmark.progress.events import Event, EventLog, running_when_killed
from hashattack.benchmark.schedule.execution import JobRecords
from hashattack.benchmark.schedule.loop import Loop
from tests.conftest import ROOT, InlineEngine, Recorder, SmokeRun, run_jobs
from tests.graphs import Dummy, Misbehaving, graph
from tests.processes import alive, children, start, wait_until
from tests.test_run import METRICS, read

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# How often the run is killed, the driver and a worker in turn. More takes longer and finds more:
# THB_KILLS=20 pytest …
KILLS = int(os.environ.get("THB_KILLS", "2"))

# A part of the suite is enough for a few kills.
PART = [] if KILLS > 8 else ["--only", "attack=prosgan,source=*-12", "--only", "attack=dhta"]


def command(out: Path, cache: Path, part: Sequence[str] = PART) -> list[str]:
    places = ["-o", str(out), "--cache", str(cache)]
    return ["run", "-s", "smoke", *places, "--format", "csv", *part]


def marks(out: Path) -> int:
    return len(list(out.glob("store/*/*/start-*.json")))


def records(out: Path) -> dict[str, Any]:
    return {
        path.parent.name: json.loads(path.read_text()) for path in out.glob("store/*/*/done.json")
    }


def same_table(out: Path, smoke: SmokeRun) -> None:
    columns = [*METRICS, "attack", "source", "job_key", "status"]
    found, undisturbed = read(out)[columns], read(smoke.out)[columns]
    same = undisturbed[undisturbed["job_key"].isin(found["job_key"])]
    pd.testing.assert_frame_equal(found, same.reset_index(drop=True))


class Killing:
    """A run that is killed and started again."""

    def __init__(self, out: Path, cache: Path, draws: random.Random) -> None:
        self.out, self._cache, self._draws = out, cache, draws
        self.workers: list[int] = []
        self.kills = 0
        self.finished: dict[str, Any] = {}  # what was done when something was killed
        self.driver = self.started()

    def started(self) -> subprocess.Popen[str]:
        return start(*command(self.out, self._cache))

    def kill(self) -> None:
        """Kill driver or worker while a job runs; nothing where none runs any more."""
        if self.driver.poll() is not None and self.driver.returncode:
            self.driver = self.started()
        before = marks(self.out)
        wait_until(
            lambda: marks(self.out) > before or self.driver.poll() is not None, "a job begins"
        )
        time.sleep(self._draws.uniform(0, 1.5))
        workers = children(self.driver.pid)
        if not workers:
            return
        self.workers += workers
        self.finished |= records(self.out)
        self.kills += 1
        if self.kills % 2:
            self.driver.kill()
            self.driver.wait(30)
            wait_until(lambda: not list(alive(self.workers)), "workers follow their driver", 15)
        else:
            os.kill(self._draws.choice(workers), signal.SIGKILL)

    def end(self) -> str:
        """Let the run come to its end; return what it printed."""
        if self.driver.poll() is not None and self.driver.returncode:
            self.driver = self.started()
        printed, _ = self.driver.communicate(timeout=280)
        return printed


def test_kill_9_at_random_moments_loses_nothing_and_leaves_no_process(
    smoke: SmokeRun, cache: Path, tmp_path: Path
) -> None:
    seed = os.environ.get("THB_KILL_SEED", "0")
    run = Killing(tmp_path / "killed", cache, random.Random(seed))
    for _ in range(KILLS):
        run.kill()
    printed = run.end()
    assert run.driver.returncode == 0, printed
    assert run.kills > 1, "driver and worker were killed"
    same_table(run.out, smoke)
    now = records(run.out)
    assert all(now[key] == record for key, record in run.finished.items()), "work was redone"
    assert not list(alive(run.workers))


RUN = """
import sys
from pathlib import Path
from hashattack.benchmark.engines.base import cpu_slots
from hashattack.benchmark.engines.local import LocalEngine
from tests.conftest import run_jobs
from tests.test_kills import with_killer

folder = Path(sys.argv[1])
run_jobs(with_killer(folder), folder, LocalEngine(cpu_slots(1)))
"""


def with_killer(folder: Path) -> dict[str, Job]:
    """Return a job, and one that kills the process group of its first run."""
    killer = Misbehaving(name="killer", how="kill all", times=1, folder=str(folder))
    return graph((Dummy(name="a"), {}), (killer, {}))


def test_a_run_whose_processes_a_job_killed_goes_on_and_leaves_no_semaphores(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", RUN, str(tmp_path)]
    killed = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    assert killed.wait(60) == -signal.SIGKILL
    assert run_jobs(with_killer(tmp_path), tmp_path, InlineEngine()).count("failed") == 0

    def semaphores() -> list[Path]:
        return list(Path("/dev/shm").glob(f"*-{killed.pid}-*"))

    wait_until(lambda: not semaphores(), "the semaphores are removed", 15)


def test_jobs_that_may_have_killed_a_run_come_last_and_alone(tmp_path: Path) -> None:
    first = Dummy(name="first")
    chain = ((Dummy(name="second"), {"of": first}), (Dummy(name="third"), {"of": first}))
    suspects = [Dummy(name="suspect"), Dummy(name="other suspect")]
    jobs = graph(*((one, {}) for one in suspects), (first, {}), *chain)
    keys = [key for key, job in jobs.items() if job.task in suspects]
    seen = Recorder()
    outcome = Loop(
        jobs,
        dict.fromkeys(jobs, 0.1) | dict.fromkeys(keys, 9.0),  # the most urgent ones
        engine=InlineEngine(3),
        records=JobRecords(tmp_path, tmp_path),
        listeners=[seen],
        suspects=keys,
    ).run()
    assert outcome.count("ok") == 5
    assert seen.ran[:3] == ["first", "second", "third"]


def test_a_log_says_what_ran_when_a_run_was_killed(tmp_path: Path) -> None:
    assert running_when_killed(tmp_path) == set()
    jobs = list(graph(*((Dummy(name=name), {}) for name in "ab")).values())
    log = EventLog(tmp_path, "run", {})
    log(Event("begin"))
    for job in jobs:
        log(Event("started", job, slot="cpu 0"))
    log(Event("ended", jobs[0], status="ok"))
    assert running_when_killed(tmp_path) == {jobs[1].key}
    with log:
        pass
    assert running_when_killed(tmp_path) == set()


def test_ctrl_c_lets_running_jobs_end_and_a_second_one_does_not(
    smoke: SmokeRun, cache: Path, tmp_path: Path
) -> None:
    out = tmp_path / "stopped"
    driver = start(*command(out, cache), "--slots-per-device", "1")
    wait_until(lambda: marks(out), "a job begins")
    driver.send_signal(signal.SIGINT)
    printed, _ = driver.communicate(timeout=60)
    assert driver.returncode == 130, printed
    assert "nothing new is started; 1 running jobs go on to their end (" in printed
    assert "the same command continues" in printed
    assert "Traceback" not in printed
    assert marks(out) == len(records(out)) == 1, "what ran was finished"

    driver = start(*command(out, cache), "--slots-per-device", "1")
    wait_until(lambda: marks(out) > 1, "another job begins")
    workers = children(driver.pid)
    driver.send_signal(signal.SIGINT)
    time.sleep(0.01)
    driver.send_signal(signal.SIGINT)
    printed, _ = driver.communicate(timeout=15)
    assert driver.returncode == 130, printed
    wait_until(lambda: not list(alive(workers)), "workers end", 15)


def test_sigterm_gives_running_jobs_a_grace_period(cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "ended"
    driver = start(*command(out, cache), "--grace", "1", "--slots-per-device", "1")
    wait_until(lambda: marks(out), "a job begins")
    workers = children(driver.pid)
    for pid in (driver.pid, *workers):  # as a cluster does: to the whole group
        os.kill(pid, signal.SIGTERM)
    printed, _ = driver.communicate(timeout=15)
    assert driver.returncode == 128 + signal.SIGTERM, printed
    assert "the same command continues" in printed
    wait_until(lambda: not list(alive(workers)), "workers end", 15)
    log = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    assert log[-1]["event"] == "end"
    assert log[-1]["reason"] == "SIGTERM stopped the run"
