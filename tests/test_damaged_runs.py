"""Damaged files of an output folder: made again, or named in a sentence."""

from __future__ import annotations

import json
import os
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hashattack.benchmark.plan.estimate import estimate, remember
from hashattack.benchmark.plan.plan import Plan
from hashattack.benchmark.plan.preview import explain
from hashattack.benchmark.progress.events import Event, EventLog
from hashattack.benchmark.results import finished
from hashattack.benchmark.results.finished import Rerun
from hashattack.benchmark.results.frame import load_results
from hashattack.benchmark.results.manifest import (
    MISSING,
    DamagedRunError,
    FolderFormatError,
    manifest_of,
    read_manifest,
    result_rows,
    write_manifest,
)
from hashattack.benchmark.results.status import read_status
from hashattack.benchmark.running import accepted
from hashattack.benchmark.store.files import Memo
from hashattack.benchmark.store.store import Store
from hashattack.datasets.files import read_checked, write_checked
from tests.conftest import TIMES, run_inline, small_suite
from tests.damages import DAMAGES, cut, restored, sentence_allowed, spoil

# How many bytes are changed, one after the other, beside the damages listed here. More takes longer
# and finds more: THB_BYTES=200 pytest …
BYTES = int(os.environ.get("THB_BYTES", "3"))
ARGUMENTS = {"suite": "small"}


@dataclass(frozen=True)
class Ran:
    """A finished run that a test may damage: its output folder, cache, plan and table."""

    out: Path
    cache: Path
    plan: Plan
    table: pd.DataFrame

    def again(self) -> None:
        """Run the suite again, and compare the table to the bit."""
        run_inline(small_suite(), self.cache, self.out)
        pd.testing.assert_frame_equal(table(self.out), self.table)


def table(out: Path) -> pd.DataFrame:
    return load_results(out).drop(columns=TIMES)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    root = tmp_path_factory.mktemp("made")
    out, cache = root / "out", root / "cache"
    plan, _ = run_inline(small_suite(), cache, out)
    events = EventLog(out, "a", {"slots": ["cpu 0"], "command": "run"})
    events(Event("begin", jobs=9, left=100.0))
    events(Event("end", reason="finished"))
    write_checked(out / ".rerun.json", {"since": 0.0})
    remember(plan, Store(out / "store"), cache)
    return Ran(out, cache, plan, table(out))


@pytest.fixture
def ran(made: Ran, tmp_path: Path) -> Ran:
    """Return a copy of the run, with the memo that it is finished."""
    out, cache = tmp_path / "out", tmp_path / "cache"
    shutil.copytree(made.out, out)
    shutil.copytree(made.cache, cache)
    finished.remember(out, ARGUMENTS, {}, made.plan, report=[], leaderboard=["the board"])
    return Ran(out, cache, made.plan, made.table)


FILES = [
    *(f"store/{stage}/*/done.json" for stage in ("train", "encode", "craft", "hash", "score")),
    *("store/train/*/tensors.safetensors", "store/score/*/tensors.safetensors"),
    *("plan.json", "events.jsonl", "finished.json", "running/run.json", ".rerun.json"),
]


def read_everything(ran: Ran) -> None:
    """Read a folder in every way: a row is as it was, or it says that it is damaged or missing."""
    known = ran.table.set_index("job_key")["t_map"]
    for row in result_rows(ran.out):
        reason = {"failed": "its record is damaged", MISSING: "not run"}.get(row["status"])
        if reason is not None:
            assert reason in row["reason"]
        else:
            assert (row["status"], row["t_map"]) == ("ok", known[row["job_key"]])
    read_status(ran.out)
    store = Store(ran.out / "store")
    for job in ran.plan.jobs.values():
        list(explain(ran.plan, store, job.key))


@pytest.mark.parametrize("file", FILES)
def test_what_is_read_of_a_damaged_folder_is_true(ran: Ran, file: str) -> None:
    for damage in DAMAGES:
        with restored(ran.out, file) as path, sentence_allowed(path):
            DAMAGES[damage](path)
            finished.recall(ran.out, ARGUMENTS, ran.cache)
            accepted(Rerun.all, ran.out)
            read_everything(ran)


@pytest.mark.parametrize("file", FILES)
def test_the_same_command_makes_the_same_table(ran: Ran, file: str) -> None:
    draws = random.Random(file)
    path = spoil(ran.out, file, draws.choice(sorted(DAMAGES)))
    with sentence_allowed(path):
        ran.again()


def test_single_bytes_of_any_file(ran: Ran) -> None:
    draws = random.Random(0)
    for _ in range(BYTES):
        files = sorted(
            path
            for folder in (ran.out, ran.cache)
            for path in folder.rglob("*")
            if path.is_file() and path.stat().st_size and "quarantine" not in path.parts
        )
        path = draws.choice(files)
        content = bytearray(path.read_bytes())
        content[draws.randrange(len(content))] ^= draws.randrange(1, 256)
        path.write_bytes(bytes(content))
        with sentence_allowed(path):
            read_everything(ran)
        try:
            ran.again()
        except FolderFormatError:  # the byte with the number of the format
            write_manifest(manifest_of(ran.plan), ran.out)


def test_an_edited_metric_is_never_shown_and_is_made_again(ran: Ran) -> None:
    path = next((ran.out / "store" / "score").glob("*/done.json"))
    record = json.loads(path.read_text())
    record["data"]["t_map"] = 0.99
    path.write_text(json.dumps(record))
    row = next(row for row in result_rows(ran.out) if row["status"] != "ok")
    assert "t_map" not in row
    assert (row["status"], "its record is damaged" in row["reason"]) == ("failed", True)
    ran.again()
    assert list((ran.out / "store" / "quarantine").glob("score-*"))


def test_a_record_of_another_job_or_kind_is_damage(ran: Ran) -> None:
    store = Store(ran.out / "store")
    one, other = [job for job in ran.plan.jobs.values() if job.stage == "craft"]
    shutil.copy(store.folder(one.ref) / "done.json", store.folder(other.ref) / "done.json")
    assert store.record(other.ref) is None
    store.fail(one.ref, "failed", "it did")
    shutil.copy(store.folder(one.ref) / "failed.json", store.folder(one.ref) / "done.json")
    assert store.record(one.ref) is None
    assert not store.is_current(one.ref, {})
    assert not store.folder(one.ref).exists()


def test_a_damaged_failure_is_none(ran: Ran) -> None:
    store, job = Store(ran.out / "store"), list(ran.plan.jobs.values())[-1]
    store.fail(job.ref, "invalid", "too far")
    assert store.is_invalid(job.ref, {})
    for damage in ("other names", "cut", "a list"):
        spoil(store.folder(job.ref), "failed.json", damage)
        assert not store.is_invalid(job.ref, {})
        read_everything(ran)
    ran.again()


def test_a_damaged_manifest_is_named_and_one_of_another_version_is_not_damaged(ran: Ran) -> None:
    cut(ran.out / "plan.json")
    with pytest.raises(DamagedRunError, match=r"plan.json is damaged; .* finished jobs are kept"):
        read_manifest(ran.out)
    (ran.out / "plan.json").write_text('{"format": 2, "cells": []}')  # without a checksum
    with pytest.raises(FolderFormatError, match="format 2, this one is 4"):
        read_manifest(ran.out)


@pytest.mark.parametrize("name", ["subprocess", "os.system", "builtins", "", "Spec", "__class__"])
def test_a_memo_cannot_name_code(ran: Ran, name: str, tmp_path: Path) -> None:
    """Whoever can write the memo can give it a checksum; what it names is looked up, not called."""
    command = f"touch {tmp_path / 'ran'}"
    content = read_checked(ran.out / "finished.json") or {}
    for params in ({"cmd": command, "args": [command], "command": command}, {}, {"root": 3}):
        content["values"]["data"] = [[name, params, ""]]
        write_checked(ran.out / "finished.json", content)
        finished.recall(ran.out, ARGUMENTS, ran.cache)
    wrong: Any
    for wrong in (3, [3], [["digits", {"side": "x"}, ""]], [[{}, [], None]]):
        content["values"]["data"] = wrong
        write_checked(ran.out / "finished.json", content)
        assert finished.recall(ran.out, ARGUMENTS, ran.cache) is None
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("damage", DAMAGES)
def test_speeds_and_memos_are_made_again(ran: Ran, damage: str) -> None:
    spoil(ran.cache, "speeds.json", damage)
    estimate(ran.plan, ran.cache, "cpu", lambda function, **arguments: 0.01)
    remember(ran.plan, Store(ran.out / "store"), ran.cache)
    memo = Memo(ran.cache / "lists.json")
    memo.write({"attacks": [[], []]})
    spoil(ran.cache, "lists.json", damage)
    assert memo.read() in ({}, {"attacks": [[], []]})
