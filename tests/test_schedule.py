"""The graph loop in virtual time: order, timed jobs alone, and how close to the bound it comes."""

from __future__ import annotations

import heapq
import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashattack.benchmark.engines.base import HARNESS, Engine, Function, Slot
from hashattack.benchmark.jobs import Job
from hashattack.benchmark.schedule.attempts import Attempt, critical_path, lower_bound, place
from hashattack.benchmark.schedule.execution import JobRecords
from hashattack.benchmark.schedule.loop import Loop
from hashattack.benchmark.schedule.simulation import simulate
from tests.graphs import Dummy, graph, random_graph, shared_slots


class VirtualRun(Engine, JobRecords):
    """An engine without workers, and the records of its jobs: each takes its virtual seconds."""

    def __init__(self, slots: Sequence[Slot], seconds: Mapping[str, float]) -> None:
        self._slots = {slot.name: slot for slot in slots}
        self._seconds = seconds
        self._clock = 0.0
        self._running: list[tuple[float, int, str, Future[Any]]] = []  # a heap by end
        self._ended: set[str] = set()
        self.spans: dict[str, tuple[float, float, str]] = {}

    def slots(self) -> Mapping[str, Slot]:
        return self._slots

    def submit(
        self, slot: str, function: Function, /, *, isolation: str = HARNESS, **arguments: Any
    ) -> Future[Any]:
        key, future = arguments["job"].key, Future[Any]()
        self.spans[key] = (self._clock, self._clock + self._seconds[key], slot)
        heapq.heappush(self._running, (self.spans[key][1], len(self.spans), key, future))
        return future

    def wait(self, futures: Collection[Future[Any]], timeout: float) -> Collection[Future[Any]]:
        if not self._running:
            return ()
        self._clock, _, key, future = heapq.heappop(self._running)
        self._ended.add(key)
        future.set_result({"status": "ok", "reason": ""})
        return (future,)

    def now(self) -> float:
        return self._clock

    def replace(self, slot: str) -> None: ...

    def close(self) -> None: ...

    def known_status(self, job: Job) -> None:
        return None

    def call(self, job: Job, torch_device: str) -> tuple[Function, dict[str, Any]]:
        return dict, {"job": job}

    def starts(self, job: Job) -> int:
        return int(job.key in self.spans)

    def finished(self, job: Job) -> bool:
        return job.key in self._ended

    def progress(self, job: Job) -> None:
        return None


@pytest.mark.parametrize("each", [10.0, 0.125])
def test_the_time_left_is_never_less_than_the_longest_chain(each: float) -> None:
    a, b, c = (Dummy(name=name) for name in "abc")
    jobs = graph((a, {}), (b, {"before": a}), (c, {"before": b}))
    seconds, left = dict.fromkeys(jobs, each), []
    run = VirtualRun(shared_slots(2, 1), seconds)
    listeners = (lambda event: left.append((event.kind, event.left)),)
    Loop(jobs, seconds, engine=run, records=run, listeners=listeners).run()
    ends = [seconds for kind, seconds in left if kind == "ended"]
    assert left[0] == ("begin", 3 * each)  # and not half of it on two slots
    assert ends[-1] == 0.0
    assert each < 1 or ends == [20.0, 10.0, 0.0]


def test_the_time_left_of_a_job_follows_its_progress() -> None:
    (job,) = graph((Dummy(name="a"), {})).values()
    attempt = Attempt(job, "cpu 0", began=0.0, seconds=30.0)
    assert attempt.remaining(10.0) == 20.0

    class Records:
        steps = 0

        def progress(self, _: Job) -> tuple[int, int, str]:
            return self.steps, 2520, "step"

    records: Any = Records()
    for now, records.steps in ((20.0, 1000), (60.0, 1010)):  # it was resumed at step 1000
        assert attempt.new_progress(now, records)
    assert attempt.remaining(60.0) == pytest.approx(40 / 10 * 1510)


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(1, 40),
    devices=st.integers(1, 4),
    sharing=st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_no_job_starts_early_shares_a_slot_or_a_device_it_needs_alone(
    seed: int, size: int, devices: int, sharing: int
) -> None:
    draws = np.random.default_rng(seed)
    jobs = random_graph(draws, size, alone=0.4)
    seconds = {key: float(draws.uniform(1, 10)) for key in jobs}
    guesses = {key: value * float(draws.lognormal(0, 0.7)) for key, value in seconds.items()}
    slots = shared_slots(devices, sharing)
    run = VirtualRun(slots, seconds)
    Loop(jobs, guesses, engine=run, records=run, patience=math.inf).run()
    took = simulate(jobs, guesses, slots, actual=seconds)
    spans, by_name = run.spans, {slot.name: slot for slot in slots}
    assert spans == took.spans, "a simulation is what the loop does"
    assert spans.keys() == jobs.keys()
    assert took.seconds == pytest.approx(max(end for _, end, _ in spans.values()))
    assert took.ratio >= 1 - 1e-9
    for key, job in jobs.items():
        began, ended, slot = spans[key]
        device = by_name[slot].device
        assert all(spans[ref.key][1] <= began + 1e-9 for ref in job.inputs.values())
        for other, (start, end, place_) in spans.items():
            together = other != key and start < ended - 1e-9 and began < end - 1e-9
            assert not (together and place_ == slot)
            same_device = by_name[place_].device == device
            assert not (together and job.resources.timed and same_device)


def test_the_schedule_comes_close_to_the_bound_and_beats_first_in_first_out() -> None:
    draws = np.random.default_rng(7)
    ours, plain = [], []
    for _ in range(200):
        jobs = random_graph(draws, int(draws.integers(10, 120)), alone=0.3)
        seconds = {key: float(draws.lognormal(3, 1)) for key in jobs}
        guesses = {key: value * float(draws.lognormal(0, 0.7)) for key, value in seconds.items()}
        count = int(draws.integers(1, 17))
        sharing = int(draws.choice([n for n in (1, 2, 4) if count % n == 0]))
        slots = shared_slots(count // sharing, sharing)
        ours.append(simulate(jobs, guesses, slots, actual=seconds).ratio)
        fifo = simulate(jobs, guesses, slots, actual=seconds, first_in_first_out=True)
        plain.append(fifo.ratio)
    assert statistics.median(ours) <= 1.10
    assert statistics.mean(ours) <= statistics.mean(plain)


def test_the_longest_way_to_the_end_goes_first() -> None:
    short, long, last = Dummy(name="short"), Dummy(name="long"), Dummy(name="last")
    jobs = graph((short, {}), (long, {}), (last, {"of": long}))
    seconds = {
        key: {"short": 5.0, "long": 3.0, "last": 4.0}[job.label] for key, job in jobs.items()
    }
    ahead = {jobs[key].label: value for key, value in critical_path(jobs, seconds).items()}
    assert ahead == {"short": 5.0, "long": 7.0, "last": 4.0}
    assert simulate(jobs, seconds, shared_slots(2, 1)).seconds == 7.0
    assert lower_bound(jobs, seconds, shared_slots(1, 1)) == 12.0


def job(name: str, timed: bool = False) -> Job:
    return Job.of(Dummy(name=name, alone=timed), {})


def placed(jobs: list[tuple[Job, float]], running: list[Attempt]) -> dict[str, str]:
    """Return the slots that two devices with two slots each give to jobs of these seconds."""
    slots = {slot.name: slot for slot in shared_slots(2, 2)}
    seconds = {one.key: length for one, length in jobs}
    found = place([one for one, _ in jobs], seconds, slots, running, now=0.0)
    return {one.label: slot for one, slot in found}


def test_jobs_that_share_fill_one_device_and_leave_the_other_to_a_timed_job() -> None:
    found = placed([(job("a"), 1), (job("b"), 1), (job("timed", True), 1)], [])
    assert found["a"][0] == found["b"][0] != found["timed"][0]


def test_a_device_is_reserved_for_the_most_urgent_timed_job() -> None:
    running = [Attempt(job("x"), "0.0", 0.0, 9.0), Attempt(job("y"), "1.0", 0.0, 5.0)]
    found = placed([(job("timed", True), 1), (job("long"), 8), (job("brief"), 4)], running)
    assert "timed" not in found
    assert found["long"][0] == "0", "device 1 is idle first, and reserved"
    assert found["brief"] == "1.1", "it ends before device 1 is idle"


def test_no_job_joins_a_timed_one() -> None:
    running = [
        Attempt(job("timed", True), "0.0", 0.0, 9.0),
        Attempt(job("x"), "1.0", 0.0, 1.0),
        Attempt(job("y"), "1.1", 0.0, 1.0),
    ]
    assert placed([(job("z"), 1)], running) == {}
