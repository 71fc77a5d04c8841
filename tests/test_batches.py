"""Batches that a suite leaves open: found by doubling, kept, and part of the plan."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hashattack.benchmark.engines.base import cpu_slots
from hashattack.benchmark.jobs import Compute
from hashattack.benchmark.plan.estimate import batch_finder, double
from hashattack.benchmark.plan.plan import make_plan
from hashattack.benchmark.stages.attacking import Craft
from hashattack.benchmark.suites.sources import SuiteError
from hashattack.targets.backbones import Tiny
from tests.conftest import small_suite

AUTO = {"batch": "auto"}


def test_a_cpu_takes_the_batch_from_which_on_nothing_is_gained() -> None:
    passes = {1: 1.0, 2: 1.1, 4: 1.5, 8: 2.9, 16: 1.0}
    assert double(passes.__getitem__, lambda: True, greedy=False) == 4


def test_a_gpu_takes_what_fits() -> None:
    def seconds(batch: int) -> float:
        if batch > 64:
            raise torch.OutOfMemoryError
        return float(batch)

    assert double(seconds, lambda: True, greedy=True) == 64
    assert double(float, lambda: True, greedy=True) == 1024
    fits = iter([True, True, True, False])
    assert double(float, lambda: next(fits), greedy=True) == 4


def test_what_was_found_is_kept(tmp_path: Path) -> None:
    lines: list[str] = []
    find = batch_finder(tmp_path, cpu_slots(1)[0], 1.0, lines.append)
    first = find(Tiny(), 32, Compute())
    assert lines == [f"Tiny at 32 pixels: {first} images per batch"]
    assert find(Tiny(), 32, Compute(batch=7)) == first
    assert len(lines) == 1
    find(Tiny(), 32, Compute(dtype="float64"))
    assert len(lines) == 2


def test_a_plan_takes_what_is_found(cache: Path) -> None:
    requested = []

    def sizing(*arguments: object) -> int:
        requested.append(arguments[:2])
        return 6

    plan = make_plan(small_suite(compute=AUTO), cache, sizing)
    crafts = [job.task for job in plan.jobs.values() if isinstance(job.task, Craft) and job.inputs]
    assert {task.compute.batch for task in crafts} == {6}
    assert {cell.row["batch"] for cell in plan.cells if cell.row["attack"] == "dhta"} == {6}
    assert set(requested) == {(Tiny(), 32)}


def test_without_a_machine_to_try_on_a_number_is_required(cache: Path) -> None:
    with pytest.raises(SuiteError, match=r"compute\.batch: auto .* give a number"):
        make_plan(small_suite(compute=AUTO), cache)
