"""Damaged files of an output folder and of the cache: made again, or named in a sentence."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hashattack.benchmark.console import check_writable
from hashattack.benchmark.external.export import TrialFile
from hashattack.benchmark.external.submission import read_submission
from hashattack.benchmark.plan.estimate import estimate, remember
from hashattack.benchmark.plan.plan import Plan
from hashattack.benchmark.plan.preview import explain
from hashattack.benchmark.plugins import load_plugins
from hashattack.benchmark.progress.events import Event, EventLog
from hashattack.benchmark.regression.baseline import read_file
from hashattack.benchmark.results import finished
from hashattack.benchmark.results.finished import Rerun
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
from hashattack.benchmark.store.files import Memo, write_bytes
from hashattack.benchmark.store.journal import Journal
from hashattack.benchmark.store.store import Store
from hashattack.benchmark.suites.sources import read_yaml
from hashattack.datasets import digits
from hashattack.datasets.cifar import Cifar10
from hashattack.datasets.digits import Digits
from hashattack.datasets.errors import UserError
from hashattack.datasets.files import checked, read_checked, with_checksum, write_checked
from hashattack.datasets.image_files import DecodedImages, Framing, ImageFiles, content_hashes
from hashattack.datasets.image_lists import read_list
from hashattack.reports.results import load_results
from hashattack.targets.state_dicts import read_state
from tests.conftest import TIMES, run_cli, run_inline, small_suite

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
    finished.remember(out, ARGUMENTS, {}, made.plan, report=[], leaderboard="the board")
    return Ran(out, cache, made.plan, made.table)


def link_loop(file: Path) -> None:
    file.symlink_to(file.name)


def replaced_by(make: Callable[[Path], None]) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        file.unlink()
        make(file)

    return damage


def written(content: bytes) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        file.write_bytes(content)

    return damage


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def one_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 5
    file.write_bytes(bytes(content))


def other_numbers(file: Path) -> None:
    """Change every number that looks like a metric, as a person would."""
    content = file.read_bytes()
    file.write_bytes(content.replace(b": 0.", b": 0.9").replace(b": 1", b": 2"))


DAMAGES: dict[str, Callable[[Path], None]] = {
    "removed": Path.unlink,
    "empty": written(b""),
    "cut": cut,
    "a byte": one_byte,
    "numbers": other_numbers,
    "a list": written(b"[1, 2]"),
    "no names": written(b"{}"),
    "other names": written(b'{"status": "ok", "data": 3, "jobs": [], "format": 3, "key": null}'),
    "deep": written(b"[" * 100_000),
    "not text": written(bytes(range(256))),
    "a folder": replaced_by(Path.mkdir),
    "a pipe": replaced_by(os.mkfifo),
    "a link to itself": replaced_by(link_loop),
}
FILES = [
    *(f"store/{stage}/*/done.json" for stage in ("train", "encode", "craft", "hash", "score")),
    *("store/train/*/tensors.safetensors", "store/score/*/tensors.safetensors"),
    *("plan.json", "events.jsonl", "finished.json", "running/run.json", ".rerun.json"),
]


def read_everything(ran: Ran) -> None:
    """Read a folder in every way: a row is as it was, or it says that it is damaged or missing."""
    known = ran.table.set_index("job_key")["t_map"]
    for row in result_rows(ran.out):
        assert (row["status"] == "ok" and row["t_map"] == known[row["job_key"]]) or (
            row["status"] == MISSING and ("damaged" in row["reason"] or "not run" in row["reason"])
        )
    load_results(ran.out)
    read_status(ran.out)
    store = Store(ran.out / "store")
    for job in ran.plan.jobs.values():
        list(explain(ran.plan, store, job.key))


def spoil(folder: Path, file: str, damage: str) -> Path:
    path = sorted(folder.glob(file))[0]
    DAMAGES[damage](path)
    return path


@contextmanager
def restored(folder: Path, file: str) -> Iterator[Path]:
    """Put a file back when the block ends."""
    path = sorted(folder.glob(file))[0]
    content = path.read_bytes()
    yield path
    if path.is_dir():
        path.rmdir()
    path.unlink(missing_ok=True)
    path.write_bytes(content)


@contextmanager
def sentence_allowed(path: Path) -> Iterator[None]:
    """Let an error pass that the command line shows as a sentence with the place."""
    found: Exception | None = None
    try:
        yield
    except (UserError, OSError) as error:
        found = error
    assert not isinstance(found, OSError) or found.filename
    assert found is None or path.name in str(found)


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
    assert "its record is damaged" in row["reason"]
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
    with pytest.raises(FolderFormatError, match="format 2, this one is 3"):
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


# -- the cache ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pools() -> Iterator[None]:
    """Let the digits be read from their library once."""
    found = digits._digit_pools()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digits, "_digit_pools", lambda: found)
        yield


@pytest.mark.usefixtures("pools")
@pytest.mark.parametrize("file", ["meta.json", "query-images.npy", "database-labels.npy"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_scenes_are_made_again(tmp_path: Path, file: str, damage: str) -> None:
    spec = Digits(n_train=2, n_query=2, n_database=2, side=32)
    fingerprint = spec.load(tmp_path).fingerprint
    path = spoil(tmp_path, f"*/{file}", damage)
    with sentence_allowed(path):
        assert spec.load(tmp_path).fingerprint == fingerprint


@pytest.mark.usefixtures("pools")
def test_any_bytes_in_the_header_of_an_array(tmp_path: Path) -> None:
    spec = Digits(n_train=2, n_query=2, n_database=2, side=32)
    fingerprint, draws = spec.load(tmp_path).fingerprint, random.Random(0)
    path = next(tmp_path.glob("*/query-labels.npy"))
    for _ in range(10):
        content = bytearray(path.read_bytes())
        content[draws.randrange(128)] = draws.choice(b"0129,()'{}[ \n")
        path.write_bytes(bytes(content))
        assert spec.load(tmp_path).fingerprint == fingerprint


@pytest.mark.parametrize("damage", DAMAGES)
def test_decoded_images_and_their_hashes_are_made_again(
    folder: Path, tmp_path: Path, damage: str
) -> None:
    paths = tuple(sorted(str(one.relative_to(folder)) for one in folder.rglob("*.png")))[:5]
    files, rows = ImageFiles(folder, paths, Framing(32, 32)), np.arange(5)
    whole, hashes = files.read(rows), content_hashes(folder, paths, tmp_path)
    kept = tmp_path / "kept.images"
    assert (DecodedImages(files, kept).read(rows) == whole).all()
    DAMAGES[damage](kept)
    with sentence_allowed(kept):
        assert (DecodedImages(files, kept).read(rows) == whole).all()
    index = spoil(tmp_path, "contents/*.json", damage)
    with sentence_allowed(index):
        assert content_hashes(folder, paths, tmp_path) == hashes


@pytest.mark.parametrize("damage", DAMAGES)
def test_speeds_and_memos_are_made_again(ran: Ran, damage: str) -> None:
    spoil(ran.cache, "speeds.json", damage)
    estimate(ran.plan, ran.cache, "cpu", lambda function, **arguments: 0.01)
    remember(ran.plan, Store(ran.out / "store"), ran.cache)
    memo = Memo(ran.cache / "lists.json")
    memo.write({"attacks": [[], []]})
    spoil(ran.cache, "lists.json", damage)
    assert memo.read() in ({}, {"attacks": [[], []]})


@pytest.mark.parametrize("file", ["journal.json", "journal-*.safetensors"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_journal_is_none(tmp_path: Path, file: str, damage: str) -> None:
    Journal(tmp_path).save({"epoch": np.array(1)})
    spoil(tmp_path, file, damage)
    unchanged = damage == "numbers" and file != "journal.json"
    assert (Journal(tmp_path).load() is not None) == unchanged


def test_what_has_its_checksum_is_what_was_written() -> None:
    value = {"a": [1, 2.5, None, "ü", "\ud800"], "b": {"c": True, "d": 1e-300}}
    text = json.dumps(with_checksum(value))
    assert checked(text) == value
    for place in range(len(text)):
        for other in ("0", '"', "}", ""):
            changed = text[:place] + other + text[place + 1 :]
            assert checked(changed) in (None, value)


# -- what a file must not replace --------------------------------------------------------------


@pytest.mark.parametrize("how", ["a folder", "a pipe", "a link to itself", "a link", "a device"])
def test_only_a_file_is_replaced(tmp_path: Path, how: str) -> None:
    kept, path = tmp_path / "kept.json", tmp_path / "to.json"
    kept.write_text("kept")
    path.write_text("old")
    if how == "a device":
        path = Path("/dev/null")
    elif how in DAMAGES:
        DAMAGES[how](path)
    else:
        path.unlink()
        path.symlink_to(kept)
    before = path.lstat()
    with pytest.raises(UserError, match="is a link, a folder, a pipe or a device"):
        check_writable(path)
    with pytest.raises(FileExistsError, match="remove it, or name another file") as refused:
        write_bytes(path, b"new")
    assert refused.value.filename == str(path)
    assert path.lstat() == before
    assert kept.read_text() == "kept"


def test_a_link_to_itself_as_a_folder_is_a_sentence(tmp_path: Path) -> None:
    link_loop(tmp_path / "out")
    done = run_cli("status", "--out", str(tmp_path / "out"))
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr


READERS: dict[str, Callable[[Path], object]] = {
    "a.yaml": lambda path: read_yaml(str(path), "suite"),
    "plugin.py": lambda path: load_plugins([path]),
    "list.txt": read_list,
    "data_batch_1.bin": lambda path: Cifar10(root=str(path.parent)).load(path.parent),
    "base.json": read_file,
    "trials.json": TrialFile.read,
    "images.npy": lambda path: read_submission("images", path, (1, 3, 32, 32)),
    "codes.csv": lambda path: read_submission("codes", path, (1, 12)),
    "weights.pth": read_state,
    "weights.safetensors": read_state,
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("damage", ["a folder", "a pipe", "a link to itself"])
def test_what_is_no_file_is_no_input(tmp_path: Path, name: str, damage: str) -> None:
    path = tmp_path / name
    path.touch()
    DAMAGES[damage](path)
    # Of Path.resolve before Python 3.13; the command line makes a sentence of it.
    with pytest.raises((UserError, RuntimeError), match=name):
        READERS[name](path)
