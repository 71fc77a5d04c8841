"""Faults planted in jobs: each costs its own job and its dependants, and nothing hangs."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hashattack.benchmark.engines.base import EngineError
from hashattack.benchmark.engines.local import LocalEngine
from hashattack.benchmark.engines.slots import cpu_slots
from hashattack.benchmark.jobs import Job
from hashattack.benchmark.schedule import execution
from hashattack.benchmark.schedule.attempts import Patience
from hashattack.benchmark.schedule.interrupts import Wish
from hashattack.benchmark.schedule.ledger import StoreLedger
from hashattack.benchmark.schedule.loop import TRIES, Loop, Outcome, RunStoppedError
from hashattack.benchmark.store.store import Store
from hashattack.reports.results import load_results
from hashattack.targets.hasher import Hasher
from tests.conftest import InlineEngine, Recorder, run_cli, run_inline, run_jobs, small_suite
from tests.graphs import Dummy, Misbehaving, graph


def bad(name: str, folder: Path, how: str, times: int, **more: Any) -> Misbehaving:
    return Misbehaving(name=name, how=how, times=times, folder=str(folder), **more)


def status_of(jobs: dict[str, Job], outcome: Outcome) -> dict[str, str]:
    return {jobs[key].label: status for key, status in outcome.status.items()}


def tries(folder: Path, name: str) -> int:
    return len((folder / name).read_text())


def test_poison_hanging_and_foreign_errors_cost_only_themselves(tmp_path: Path) -> None:
    always = bad("always dies", tmp_path, "die", 99)
    hangs = bad("hangs", tmp_path, "hang", 99)
    jobs = graph(
        *((Dummy(name=f"innocent {n}"), {}) for n in range(4)),
        (bad("dies once", tmp_path, "die", 1), {}),
        (always, {}),
        (Dummy(name="needs it"), {"of": always}),
        (hangs, {}),
        (bad("foreign", tmp_path, "foreign", 99), {}),
    )
    outcome = run_jobs(jobs, tmp_path, LocalEngine(cpu_slots(2)), patience=Patience(5.0, 1.0))
    status = status_of(jobs, outcome)
    assert status.pop("always dies") == status.pop("hangs") == status.pop("foreign") == "failed"
    assert status.pop("needs it") == "blocked"
    assert set(status.values()) == {"ok"}
    assert [tries(tmp_path, name) for name in ("always dies", "hangs")] == [TRIES, TRIES]
    assert tries(tmp_path, "dies once") == 2
    assert tries(tmp_path, "foreign") == 1, "an error is an answer, and stays one"
    reasons = " ".join(outcome.reasons.values())
    assert "its worker died 3 times" in reasons
    assert "it showed no progress for" in reasons
    assert "TwoArgumentsError: 1 and 2" in reasons


def test_a_job_that_tells_of_progress_is_left_alone(tmp_path: Path) -> None:
    class Slow(InlineEngine):
        """Ends nothing before the loop has looked a few times; its clock runs a second a turn."""

        time = 0.0
        turns = 0

        def wait(self, futures: Any, timeout: float) -> Any:
            self.time += 1.0
            self.turns += 1
            return list(futures) if self.turns > 20 else ()

        def now(self) -> float:
            return self.time

    class Telling(StoreLedger):
        def progress(self, job: Job) -> tuple[int, int, str] | None:
            return engine.turns, 100, "step"

    engine = Slow()
    jobs = graph((Dummy(name="long"), {}))
    estimates = dict.fromkeys(jobs, 1.0)
    loop = Loop(
        jobs,
        estimates,
        engine=engine,
        ledger=Telling(tmp_path, tmp_path),
        observer=Recorder(),
        patience=Patience(least=5.0, factor=1.0),
    )
    assert set(loop.run().status.values()) == {"ok"}
    assert engine.replaced == 0


def test_out_of_memory_halves_the_batch_in_a_fresh_process(tmp_path: Path) -> None:
    jobs = graph((bad("big", tmp_path, "memory", 2), {}), (bad("vast", tmp_path, "memory", 9), {}))
    engine, seen = InlineEngine(), Recorder()
    status = status_of(jobs, run_jobs(jobs, tmp_path, engine, seen))
    assert status == {"big": "ok", "vast": "failed"}
    assert tries(tmp_path, "vast") == 4, "batches of 8, 4, 2 and 1"
    assert engine.replaced == 2 + 4
    big = next(job for job in jobs.values() if job.label == "big")
    record = Store(tmp_path / "store").record(big.ref)
    assert record is not None
    assert record["provenance"]["notes"] == ["big: 2 images at a time, as 8 did not fit the memory"]
    assert "trying half the batch" in seen.retried[0]


def test_what_cannot_be_split_names_its_batch(tmp_path: Path) -> None:
    jobs = graph((bad("whole", tmp_path, "memory", 9, splits=False), {}))
    outcome = run_jobs(jobs, tmp_path, InlineEngine())
    (reason,) = outcome.reasons.values()
    assert "out of memory at batch 8, which cannot be split" in reason
    assert tries(tmp_path, "whole") == 1


def test_a_broken_device_is_left_and_the_job_tried_again(tmp_path: Path) -> None:
    jobs = graph((bad("sticky", tmp_path, "device", 1), {}))
    engine = InlineEngine()
    assert status_of(jobs, run_jobs(jobs, tmp_path, engine)) == {"sticky": "ok"}
    assert engine.replaced == 1


def test_a_row_tells_of_smaller_batches(
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
    seen = Recorder()
    outcome = run_jobs(jobs, tmp_path, InlineEngine(), seen)
    assert outcome.count("cached") == len(done)
    assert outcome.count("ok") == len(jobs) - len(done)


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


def test_asked_to_finish_nothing_new_starts(tmp_path: Path) -> None:
    jobs = graph(*((Dummy(name=str(n)), {}) for n in range(3)))
    seen = Recorder()
    loop = Loop(
        jobs,
        dict.fromkeys(jobs, 1.0),
        engine=InlineEngine(),
        ledger=StoreLedger(tmp_path, tmp_path),
        observer=seen,
        wish=lambda: Wish.finish if seen.ran else Wish.go_on,
    )
    with pytest.raises(RunStoppedError):
        loop.run()
    assert len(seen.ran) == 1
    assert run_jobs(jobs, tmp_path, InlineEngine()).count("cached") == 1


class Refusing(InlineEngine):
    """Takes no job, or none whose label starts with a word: its worker dies at once."""

    word = ""

    def submit(self, slot: str, function: Any, /, **arguments: Any) -> Any:
        if arguments["job"].label.startswith(self.word):
            raise EngineError("it is gone")
        return super().submit(slot, function, **arguments)


def test_workers_that_never_start_a_job_end_the_run_with_an_error(tmp_path: Path) -> None:
    jobs = graph(*((Dummy(name=name), {}) for name in "abcdef"))
    with pytest.raises(EngineError, match="no worker is left"):
        run_jobs(jobs, tmp_path, Refusing(1))


def test_a_job_that_kills_workers_before_it_starts_costs_only_itself(tmp_path: Path) -> None:
    poison = Dummy(name="poison")
    jobs = graph((poison, {}), (Dummy(name="needs it"), {"of": poison}), (Dummy(name="fine"), {}))
    engine = Refusing(2)
    engine.word = "poison"
    outcome = run_jobs(jobs, tmp_path, engine)
    assert status_of(jobs, outcome) == {"poison": "failed", "needs it": "blocked", "fine": "ok"}
    assert "3 workers died before they could start it" in str(outcome.reasons)


def test_a_worker_that_dies_before_a_second_start_is_not_tried_for_ever(tmp_path: Path) -> None:
    class Failing(InlineEngine):
        """Starts the job once; afterwards its workers die before they can."""

        submitted = 0

        def submit(self, slot: str, function: Any, /, **arguments: Any) -> Any:
            self.submitted += 1
            if self.submitted > 1:
                raise EngineError("no driver")
            return super().submit(slot, function, **arguments)

    engine = Failing()
    jobs = graph((bad("sticky", tmp_path, "device", 9), {}))
    assert status_of(jobs, run_jobs(jobs, tmp_path, engine)) == {"sticky": "failed"}
    assert engine.submitted == 1 + TRIES


def test_a_folder_no_worker_can_write_to_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path))

    monkeypatch.setattr(Store, "start", refuse)
    jobs = graph(*((Dummy(name=name), {}) for name in "abcd"))
    with pytest.raises(EngineError, match="no worker is left"):
        run_jobs(jobs, tmp_path, InlineEngine())


def test_a_result_whose_future_is_lost_counts(tmp_path: Path) -> None:
    class Mute(InlineEngine):
        """Runs jobs and never says so; its clock runs ten seconds a turn."""

        time = 0.0

        def wait(self, futures: Any, timeout: float) -> Any:
            self.time += 10.0
            return ()

        def now(self) -> float:
            return self.time

    jobs = graph((Dummy(name="a"), {}), (Dummy(name="b"), {}))
    outcome = run_jobs(jobs, tmp_path, Mute())
    assert set(outcome.status.values()) == {"ok"}


def test_a_worker_whose_driver_is_dead_makes_room_for_the_next(tmp_path: Path) -> None:
    (job,) = graph((bad("old", tmp_path, "crawl", 9), {})).values()
    old = StoreLedger(tmp_path, tmp_path)
    StoreLedger(tmp_path, tmp_path)  # the same command again, on a cluster whose worker lives on
    function, arguments = old.call(job, "cpu")
    assert function is execution.execute
    answer = function(**arguments)
    assert "another run writes to" in answer["reason"]
    assert Store(tmp_path / "store").failure(job.ref) is None
