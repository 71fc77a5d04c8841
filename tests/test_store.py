"""The store: keys, atomic writes, and what counts as done."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from hashattack.benchmark.store.files import write_bytes
from hashattack.benchmark.store.journal import Journal
from hashattack.benchmark.store.keys import canonical_json, digest
from hashattack.benchmark.store.store import CorruptArtifactError, JobRef, Store
from hashattack.datasets.files import read_checked, write_checked

JOB = JobRef("craft", "ab" * 20)


@dataclass(frozen=True)
class Point:
    x: float
    path: str = field(default="", metadata={"key": False})


@dataclass(frozen=True)
class Place:
    x: float


def finished(root: Path) -> Store:
    store = Store(root)
    store.start(JOB, "run", {})
    arrays = {"codes": np.arange(6, dtype=np.int8).reshape(2, 3), "scalar": np.array(3.0)}
    store.finish(JOB, arrays, {"t_map": 0.5}, {"target": "t"}, {})
    return store


def test_keys_differ_by_values_and_types_but_not_by_paths() -> None:
    values = [1, 1.0, "1", True, None, [1], {"a": 1}, Point(1.0), Place(1.0), Point(2.0)]
    assert len({digest(value) for value in values}) == len(values)
    assert digest(Point(1.0, "here")) == digest(Point(1.0, "there"))
    assert canonical_json({"b": 1, "a": (1, 2)}) == '{"a":[1,2],"b":1}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest(float("nan"))
    with pytest.raises(TypeError, match="no canonical form"):
        digest(object())


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    arrays = finished(tmp_path).arrays(JOB)
    assert arrays["codes"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert arrays["scalar"].shape == ()


def test_a_job_is_current_only_with_record_inputs_and_intact_tensors(tmp_path: Path) -> None:
    store = finished(tmp_path)
    assert store.is_current(JOB, {"target": "t"})
    assert not store.is_current(JOB, {"target": "other"})
    assert not store.is_current(JobRef("craft", "cd" * 20), {})


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete"])
def test_damage_is_found_and_quarantined(tmp_path: Path, damage: str) -> None:
    store = finished(tmp_path)
    file = store.folder(JOB) / "tensors.safetensors"
    content = bytearray(file.read_bytes())
    if damage == "flip":
        content[-1] ^= 4
        file.write_bytes(bytes(content))
    elif damage == "truncate":
        file.write_bytes(bytes(content[:-3]))
    else:
        file.unlink()
    with pytest.raises(CorruptArtifactError):
        store.arrays(JOB)
    assert not store.is_current(JOB, {"target": "t"})
    assert not store.folder(JOB).exists()
    assert list((tmp_path / "quarantine").iterdir())


def rot(store: Store) -> None:
    """Flip a bit as a disk does: the time of change stays."""
    file = store.folder(JOB) / "tensors.safetensors"
    status, content = file.stat(), bytearray(file.read_bytes())
    content[-1] ^= 4
    file.write_bytes(bytes(content))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_rot_that_changes_no_time_is_found_when_it_is_read_and_made_again(tmp_path: Path) -> None:
    store = finished(tmp_path)
    rot(store)
    assert store.is_current(JOB, {"target": "t"}), "nothing says that it changed"
    with pytest.raises(CorruptArtifactError, match="the same command makes it again"):
        store.arrays(JOB)
    assert not store.is_current(JOB, {"target": "t"})
    assert list((tmp_path / "quarantine").iterdir())


def test_verifying_finds_it_before(tmp_path: Path) -> None:
    store = finished(tmp_path)
    rot(store)
    assert not store.is_current(JOB, {"target": "t"}, verify=True)


def test_a_full_disk_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "record.json"
    write_checked(file, {"old": 1})

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_bytes(file, b"new")
    assert read_checked(file) == {"old": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_a_torn_record_counts_as_none(tmp_path: Path) -> None:
    store = finished(tmp_path)
    (store.folder(JOB) / "done.json").write_text('{"stage": "cra')
    assert store.record(JOB) is None
    assert not store.is_current(JOB, {"target": "t"})


def test_attempts_are_counted_by_run(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert [store.start(JOB, "one", {}) for _ in range(2)] == [1, 2]
    assert store.start(JOB, "two", {}) == 1
    assert store.attempts(JOB, "one") == 2


def test_an_invalid_verdict_stands_while_its_inputs_do(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.fail(JOB, "invalid", "too far", data={"linf": 0.5}, inputs={"images": "x"})
    assert store.is_invalid(JOB, {"images": "x"})
    assert not store.is_invalid(JOB, {"images": "y"})
    store.fail(JOB, "failed", "no memory", inputs={"images": "x"})
    assert not store.is_invalid(JOB, {"images": "x"})


def test_the_journal_survives_a_kill_between_its_writes(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.load() is None
    journal.save({"epoch": np.array(1)})
    journal.save({"epoch": np.array(2)})
    (tmp_path / "journal-half.safetensors").write_bytes(b"torn")
    state = Journal(tmp_path).load()
    assert state is not None
    assert state["epoch"] == 2
    assert len(list(tmp_path.glob("journal-*.safetensors"))) == 2
    next(tmp_path.glob("journal-[0-9a-f]*[0-9a-f].safetensors")).write_bytes(b"rotten")
    assert Journal(tmp_path).load() is None
    journal.clear()
    assert not list(tmp_path.iterdir())


def test_seconds_add_up_across_kills(tmp_path: Path) -> None:
    Journal(tmp_path).save({"x": np.array(0)})
    pointer = read_checked(tmp_path / "journal.json") or {}
    write_checked(tmp_path / "journal.json", {**pointer, "seconds": 100.0})
    resumed = Journal(tmp_path)
    assert resumed.seconds < 100
    state = resumed.load()
    assert state is not None
    assert resumed.seconds > 100
    resumed.save(state)
    again = Journal(tmp_path)
    again.load()
    assert again.seconds > 100
