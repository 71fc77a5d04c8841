"""Faults planted in jobs: each costs its own job and its dependants, and nothing hangs."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hashattack.benchmark.engines.base import EngineError, cpu_slots
from hashattack.benchmark.engines.local import LocalEngine
from hashattack.benchmark.jobs import Job
from hashattack.benchmark.progress.events import Event
from hashattack.benchmark.results.frame import load_results
from hashattack.benchmark.schedule import execution
from hashattack.benchmark.schedule.attempts import Attempt
from hashattack.benchmark.schedule.execution import JobRecords
from hashattack.benchmark.schedule.interrupts import RunStoppedError, StopRequest
from hashattack.benchmark.schedule.loop import TRIES, Loop, RunOutcome
from hashattack.benchmark.store.store import Store
from hashattack.targets.hasher import Hasher
from tests.conftest import InlineEngine, Recorder, run_cli, run_inline, run_jobs, small_suite
from tests.graphs import Dummy, Misbehaving, graph


def bad(name: str, folder: Path, how: str, times: int, **more: Any) -> Misbehaving:
    return Misbehaving(name=name, how=how, times=times, folder=str(folder), **more)


def status_of(jobs: dict[str, Job], outcome: RunOutcome) -> dict[str, str]:
    return {jobs[key].label: status for key, status in outcome.status.items()}


def tries(folder: Path, name: str) -> int:
    return len((folder / name).read_text())


# -- workers that die, hang or do not answer ---------------------------------------------------


def test_dying_hanging_and_failing_jobs_cost_only_themselves(tmp_path: Path) -> None:
    always = bad("always dies", tmp_path, "die", 99)
    jobs = graph(
        *((Dummy(name=f"innocent {n}"), {}) for n in range(4)),
        (always, {}),
        (Dummy(name="needs it"), {"of": always}),
        (bad("hangs once", tmp_path, "hang", 1), {}),
        (bad("foreign", tmp_path, "foreign", 99), {}),
    )
    seen = Recorder()
    engine = LocalEngine(cpu_slots(2))
    outcome = run_jobs(jobs, tmp_path, engine, seen, patience=5.0)
    status = status_of(jobs, outcome)
    assert status.pop("always dies") == status.pop("foreign") == "failed"
    assert status.pop("needs it") == "blocked"
    assert set(status.values()) == {"ok"}
    assert tries(tmp_path, "always dies") == TRIES
    assert tries(tmp_path, "hangs once") == 2
    assert tries(tmp_path, "foreign") == 1, "an error is an answer and is not tried again"
    assert any("it showed no progress for" in reason for reason in seen.retried)
    reasons = " ".join(outcome.reasons.values())
    assert "its worker died 3 times" in reasons
    assert "TwoArgumentsError: 1 and 2" in reasons


class Clocked(InlineEngine):
    """Runs jobs and never returns an answer; its clock runs ten seconds a turn."""

    time = 0.0

    def wait(self, futures: Collection[Future[Any]], timeout: float) -> Collection[Future[Any]]:
        self.time += 10.0
        return ()

    def now(self) -> float:
        return self.time


class Hanging(Clocked):
    """Starts jobs that never end."""

    def submit(self, slot: str, function: Any, /, **arguments: Any) -> Future[Any]:
        run = arguments["run"]
        Store(run.out / "store").start(arguments["job"].ref, run.run, {})
        return Future()


class Late(Clocked):
    """Returns answers at once."""

    def wait(self, futures: Collection[Future[Any]], timeout: float) -> Collection[Future[Any]]:
        super().wait(futures, timeout)
        return list(futures)


def test_a_hanging_job_is_stopped_three_times_and_fails(tmp_path: Path) -> None:
    engine, jobs = Hanging(), graph((Dummy(name="hangs"), {}))
    outcome = run_jobs(jobs, tmp_path, engine, patience=60.0)
    assert "its worker died 3 times (it showed no progress for 70 s" in str(outcome.reasons)
    assert engine.replaced == TRIES


def test_a_result_whose_future_is_lost_counts(tmp_path: Path) -> None:
    jobs = graph((Dummy(name="a"), {}), (Dummy(name="b"), {}))
    assert run_jobs(jobs, tmp_path, Clocked()).count("ok") == 2


@pytest.mark.parametrize(("reads", "status"), [(5, "ok"), (10**9, "failed")])
def test_a_record_may_appear_late_on_a_shared_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: int, status: str
) -> None:
    left = [reads]
    real = JobRecords.finished

    def finished(self: JobRecords, job: Job) -> bool:
        left[0] -= 1
        return left[0] < 0 and real(self, job)

    monkeypatch.setattr(JobRecords, "finished", finished)
    outcome = run_jobs(graph((Dummy(name="a"), {})), tmp_path, Late())
    assert outcome.count(status) == 1
    assert status == "ok" or "its record did not appear in 90 s" in str(outcome.reasons)


class Known(JobRecords):
    """Records that a test writes."""

    def __init__(self) -> None:
        self.count, self.done, self.state = 0, False, (0, 0, "step")

    def starts(self, job: Job) -> int:
        return self.count

    def finished(self, job: Job) -> bool:
        return self.done

    def progress(self, job: Job) -> tuple[int, int, str] | None:
        return self.state if self.state[0] else None


def test_when_a_worker_is_given_up() -> None:
    records = Known()
    (job,) = graph((Dummy(name="a"), {})).values()

    def why(attempt: Attempt, now: float, *, alive: bool = True) -> str | None:
        attempt.new_progress(now, records)
        return attempt.given_up(now, records, 60.0, alive=alive)

    attempt = Attempt(job, "cpu 0", 0.0, seconds=5.0)
    assert why(attempt, 0.0) is why(attempt, 299.0) is None
    assert why(attempt, 301.0) == "its worker did not start it for 300 s"
    records.count = 1
    assert why(attempt, 310.0) is None, "it has started"
    assert why(attempt, 410.0) is None, "twenty times its estimate"
    assert "it showed no progress for 101 s" in str(why(attempt, 411.0))
    attempt.allow(60.0)
    assert why(attempt, 411.0) is None, "the loop itself stood still"
    for step, now in enumerate((420.0, 430.0, 438.0), start=1):
        records.state = (step, 100, "step")
        assert why(attempt, now) is None
    assert why(attempt, 638.0) is None, "twenty times its longest pause"
    assert "no progress" in str(why(attempt, 639.0))
    records.state = (9, 100, "step")
    assert why(attempt, 680.0, alive=False) is None
    assert why(attempt, 685.0) is None, "it was alive in between"
    assert why(attempt, 690.0, alive=False) is None
    assert why(attempt, 701.0, alive=False) == "its worker was gone for 10 s"
    records.done = True
    assert why(attempt, 702.0) is None
    assert why(attempt, 733.0) == "its worker did not return its result for 30 s"


class Refusing(InlineEngine):
    """Takes no job whose label starts with a word: its worker dies at once."""

    def __init__(self, count: int, word: str = "") -> None:
        super().__init__(count)
        self.word = word

    def submit(self, slot: str, function: Any, /, **arguments: Any) -> Future[Any]:
        if arguments["job"].label.startswith(self.word):
            raise EngineError("it is gone")
        return super().submit(slot, function, **arguments)


def test_workers_that_never_start_a_job_end_the_run_with_an_error(tmp_path: Path) -> None:
    jobs = graph(*((Dummy(name=name), {}) for name in "abcdef"))
    with pytest.raises(EngineError, match="no worker is left"):
        run_jobs(jobs, tmp_path, Refusing(1))


def test_without_any_worker_the_run_ends_after_ten_minutes(tmp_path: Path) -> None:
    engine = Clocked(0)
    with pytest.raises(EngineError, match="no worker is left"):
        run_jobs(graph((Dummy(name="a"), {})), tmp_path, engine)
    assert engine.time == 610.0


def test_a_job_that_kills_workers_before_it_starts_costs_only_itself(tmp_path: Path) -> None:
    poison = Dummy(name="poison")
    jobs = graph((poison, {}), (Dummy(name="needs it"), {"of": poison}), (Dummy(name="fine"), {}))
    outcome = run_jobs(jobs, tmp_path, Refusing(2, "poison"))
    assert status_of(jobs, outcome) == {"poison": "failed", "needs it": "blocked", "fine": "ok"}
    assert "its worker died 3 times (it is gone)" in str(outcome.reasons)


def test_a_worker_that_dies_before_a_second_start_is_not_tried_for_ever(tmp_path: Path) -> None:
    class Failing(InlineEngine):
        """Starts the job once; afterwards its workers die before they can."""

        submitted = 0

        def submit(self, slot: str, function: Any, /, **arguments: Any) -> Future[Any]:
            self.submitted += 1
            if self.submitted > 1:
                raise EngineError("no driver")
            return super().submit(slot, function, **arguments)

    engine = Failing()
    jobs = graph((bad("sticky", tmp_path, "device", 9), {}))
    assert run_jobs(jobs, tmp_path, engine).count("failed") == 1
    assert engine.submitted == TRIES


def test_a_folder_in_which_no_worker_can_write_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path))

    monkeypatch.setattr(Store, "start", refuse)
    jobs = graph(*((Dummy(name=name), {}) for name in "abcd"))
    with pytest.raises(EngineError, match="no worker is left"):
        run_jobs(jobs, tmp_path, InlineEngine())


def test_a_worker_whose_driver_is_dead_stops_when_another_run_begins(tmp_path: Path) -> None:
    (job,) = graph((bad("old", tmp_path, "crawl", 9), {})).values()
    old = JobRecords(tmp_path, tmp_path)
    JobRecords(tmp_path, tmp_path)  # the same command again, on a cluster whose worker lives on
    function, arguments = old.call(job, "cpu")
    assert function is execution.execute
    answer = function(**arguments)
    assert "another run writes to" in answer["reason"]
    assert Store(tmp_path / "store").failure(job.ref) is None


# -- memory ------------------------------------------------------------------------------------


def test_out_of_memory_halves_the_batch_in_a_fresh_process(tmp_path: Path) -> None:
    jobs = graph(
        (bad("big", tmp_path, "memory", 2), {}),
        (bad("vast", tmp_path, "memory", 9), {}),
        (bad("whole", tmp_path, "memory", 9, splits=False), {}),
    )
    engine, seen = InlineEngine(), Recorder()
    outcome = run_jobs(jobs, tmp_path, engine, seen)
    assert status_of(jobs, outcome) == {"big": "ok", "vast": "failed", "whole": "failed"}
    assert tries(tmp_path, "vast") == 4, "batches of 8, 4, 2 and 1"
    assert tries(tmp_path, "whole") == 1
    assert engine.replaced == 2 + 4 + 1
    big = next(job for job in jobs.values() if job.label == "big")
    record = Store(tmp_path / "store").record(big.ref)
    assert record is not None
    assert record["provenance"]["notes"] == ["big: 2 images at a time, as 8 did not fit the memory"]
    assert "trying half the batch" in seen.retried[0]
    assert "out of memory at batch 8, which cannot be split" in str(outcome.reasons)


def test_after_a_device_error_the_job_is_tried_again_in_a_fresh_process(tmp_path: Path) -> None:
    engine = InlineEngine()
    jobs = graph((bad("sticky", tmp_path, "device", 1), {}))
    assert run_jobs(jobs, tmp_path, engine).count("ok") == 1
    assert engine.replaced == 1


def test_a_row_says_that_batches_were_halved(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_inline(small_suite(), cache, tmp_path / "whole")
    real = Hasher.forward

    def short_of_memory(self: Hasher, images: Tensor, alpha: float = 1.0) -> Tensor:
        if not self.training and len(images) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return real(self, images, alpha)

    monkeypatch.setattr(Hasher, "forward", short_of_memory)
    run_inline(small_suite(), cache, tmp_path / "split")
    whole, split = load_results(tmp_path / "whole"), load_results(tmp_path / "split")
    assert (split["status"] == "ok").all()
    assert whole["notes"].fillna("").eq("").all()
    assert split["notes"].str.contains("2 images at a time, as 4 did not fit").all()
    assert split["t_map"].tolist() == pytest.approx(whole["t_map"].tolist(), abs=1e-6)


def test_training_adds_up_gradients_where_no_batch_statistics_are_used(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Hasher.forward

    def short_of_memory(self: Hasher, images: Tensor, alpha: float = 1.0) -> Tensor:
        if self.training and len(images) > 16:
            raise torch.OutOfMemoryError("out of memory")
        return real(self, images, alpha)

    monkeypatch.setattr(Hasher, "forward", short_of_memory)
    training = {"epochs": 1, "batch": 24, "learning_rate": 0.001}
    common = {"method": "DPSH", "bits": 12, "weights": "none", "training": training}
    targets = [
        {**common, "backbone": "AlexNet", "backbone_params": {"head_width": 8}},
        {**common, "backbone": "Tiny"},
    ]
    datasets = [{"dataset": "digits", "params": {**SMALL, "side": 64}}]
    suite = small_suite(targets=targets, attacks=["original"], datasets=datasets)
    plan, _ = run_inline(suite, cache, tmp_path)
    trained = {job.label: job for job in plan.jobs.values() if job.stage == "train"}
    record = Store(tmp_path / "store").record(trained["train DPSH-AlexNet-12"].ref)
    assert record is not None
    (note,) = record["provenance"]["notes"]
    assert note.startswith("train DPSH-AlexNet-12: 12 images at a time, as 24 did not fit")
    whole = load_results(tmp_path).set_index("source").loc["DPSH-Tiny-12"]
    assert whole["status"] == "failed"
    assert "out of memory at batch 24, which cannot be split" in str(whole["reason"])


SMALL = {"n_train": 48, "n_query": 12, "n_database": 96}


# -- a full disk, and requests to stop ---------------------------------------------------------


@pytest.fixture
def full_after(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Let the disk be full after some writes of files."""
    left = {"writes": 10**9}
    real = os.fsync

    def fsync(handle: int) -> None:
        left["writes"] -= 1
        if left["writes"] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr("hashattack.datasets.files.os.fsync", fsync)
    yield left
    left["writes"] = 10**9


@pytest.mark.parametrize("writes", [2, 4, 5, 6])
def test_a_full_disk_stops_the_run_and_nothing_is_lost(
    tmp_path: Path, full_after: dict[str, int], writes: int
) -> None:
    tasks = [Dummy(name=name) for name in "abc"]
    jobs = graph(*((task, {}) for task in tasks))
    full_after["writes"] = writes
    with pytest.raises(RunStoppedError, match="No space left on device") as stopped:
        run_jobs(jobs, tmp_path, InlineEngine())
    assert str(tmp_path) in str(stopped.value)
    assert not list(tmp_path.rglob("*.tmp"))
    full_after["writes"] = 10**9
    done = [job for job in jobs.values() if Store(tmp_path / "store").record(job.ref) is not None]
    outcome = run_jobs(jobs, tmp_path, InlineEngine())
    assert outcome.count("cached") == len(done)
    assert outcome.count("ok") == len(jobs) - len(done)


def test_a_job_that_claims_that_the_disk_is_full_fails_alone(tmp_path: Path) -> None:
    jobs = graph(
        (bad("full", tmp_path, "full", 9), {}),
        (first := Dummy(name="first"), {}),
        (bad("full here", tmp_path, "full here", 9), {"of": first}),
        (Dummy(name="last"), {"of": first}),
    )
    outcome = run_jobs(jobs, tmp_path, InlineEngine())
    claims = {"full": "failed", "full here": "failed"}
    assert status_of(jobs, outcome) == claims | {"first": "ok", "last": "ok"}
    assert "No space left on device" in str(outcome.reasons)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
def test_a_really_full_disk_is_one_clear_message(cache: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a tmpfs")
    try:
        command = ["run", "-s", "smoke", "--only", "attack=original", "--cache", str(cache)]
        done = run_cli(*command, "--out", str(small / "out"))
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)
    assert done.returncode in (2, 3), done.stdout + done.stderr
    assert "No space left on device" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("interrupts", [1, 2])
def test_after_ctrl_c_nothing_new_starts(tmp_path: Path, interrupts: int) -> None:
    jobs = graph(*((Dummy(name=str(n)), {}) for n in range(3)))
    stop = StopRequest()

    def interrupt(event: Event) -> None:
        if event.kind == "ended":
            for _ in range(interrupts):
                stop.receive(signal.SIGINT)

    loop = Loop(
        jobs,
        dict.fromkeys(jobs, 1.0),
        engine=InlineEngine(),
        records=JobRecords(tmp_path, tmp_path),
        listeners=[interrupt],
        stop=stop,
    )
    with pytest.raises(RunStoppedError, match="SIGINT stopped the run") as stopped:
        loop.run()
    assert stopped.value.exit_code == 130
    assert run_jobs(jobs, tmp_path, InlineEngine()).count("cached") == 1


def test_sigterm_stops_at_once_after_its_grace_period() -> None:
    hurried, patient = StopRequest(grace=-1.0), StopRequest(grace=60.0)
    for request in (hurried, patient):
        request.receive(signal.SIGTERM)
    assert hurried.at_once
    assert not patient.at_once
    for _ in range(2):
        patient.receive(signal.SIGINT)
    assert patient.at_once
    with pytest.raises(KeyboardInterrupt):
        patient.receive(signal.SIGINT)
