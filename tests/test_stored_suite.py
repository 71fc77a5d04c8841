"""The suite of an output folder plans the same jobs as the file it was read from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from hashattack.benchmark.plan.plan import Plan, make_plan
from hashattack.benchmark.results.manifest import (
    FolderFormatError,
    NoRunError,
    manifest_of,
    write_manifest,
)
from hashattack.benchmark.results.stored_suite import stored_sizing, stored_suite
from hashattack.benchmark.suites.loading import load_suite
from hashattack.benchmark.suites.sources import SuiteError
from hashattack.datasets.files import read_checked, write_checked
from tests.conftest import SmokeRun, small_suite

SMALL = {"n_train": 120, "n_query": 64, "n_database": 240, "side": 64}


def same(one: Plan, other: Plan) -> bool:
    return list(one.jobs) == list(other.jobs) and [cell.row for cell in one.cells] == [
        cell.row for cell in other.cells
    ]


def make_folder(root: Path) -> Path:
    """Write 100 images of one label each."""
    root.mkdir(parents=True)
    draws = np.random.default_rng(0)
    for row in range(100):
        pixels = draws.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{row}.png")
    lines = [f"{row}.png {row % 2} {1 - row % 2}\n" for row in range(100)]
    for name, part in (("train", lines[:40]), ("query", lines[40:60]), ("database", lines[60:])):
        (root / f"{name}.txt").write_text("".join(part), encoding="utf-8")
    return root


def test_a_finished_run_is_planned_from_its_folder(smoke: SmokeRun, cache: Path) -> None:
    assert stored_suite(smoke.out) == load_suite("smoke")
    assert same(make_plan(stored_suite(smoke.out), cache), make_plan(load_suite("smoke"), cache))


def test_a_union_keeps_its_parts(cache: Path, tmp_path: Path) -> None:
    digits = [{"dataset": "digits", "params": SMALL}]
    (tmp_path / "two.yaml").write_text(
        yaml.safe_dump({"include": ["table1", "table2"], "scale": "mini", "datasets": digits})
    )
    suite = load_suite(str(tmp_path / "two.yaml"))
    plan = make_plan(suite, cache)
    write_manifest(manifest_of(plan), tmp_path)
    stored = stored_suite(tmp_path)
    assert [part.name for part in stored.parts] == ["table1", "table2"]
    assert stored == suite
    assert same(make_plan(stored, cache), plan)


def test_batches_that_were_left_open_are_those_that_were_found(cache: Path, tmp_path: Path) -> None:
    suite = small_suite(compute={"batch": "auto"})
    plan = make_plan(suite, cache, lambda *_: 8)
    write_manifest(manifest_of(plan), tmp_path)
    stored = stored_suite(tmp_path)
    assert same(make_plan(stored, cache, stored_sizing(tmp_path)), plan)
    write_manifest(manifest_of(make_plan(small_suite(), cache)), tmp_path / "other")
    wider = small_suite(compute={"batch": "auto"}, datasets={"dataset": "digits", "params": SMALL})
    with pytest.raises(SuiteError, match="has no job of Tiny at 64 pixels"):
        make_plan(wider, cache, stored_sizing(tmp_path / "other"))


def test_relative_paths_are_found_from_anywhere(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder(tmp_path / "data" / "folder")
    monkeypatch.chdir(tmp_path)
    for given in ({"root": "data/folder"}, {}):
        data = {"dataset": "folder", "params": {**given, "side": 32, "resize": 32}}
        content = small_suite(datasets=data).model_dump(exclude_unset=True)
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content))
        plan = make_plan(load_suite("mine.yaml"), cache)
        write_manifest(manifest_of(plan), tmp_path / "out")
        monkeypatch.chdir("/")
        stored = stored_suite(tmp_path / "out")
        assert stored.datasets[0].params["root"] == str(root)
        assert same(make_plan(stored, cache), plan)
        monkeypatch.chdir(tmp_path)


def test_what_cannot_be_read_says_so(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(NoRunError, match="holds no run"):
        stored_suite(tmp_path)
    write_manifest(manifest_of(make_plan(small_suite(), cache)), tmp_path)
    manifest = read_checked(tmp_path / "plan.json") or {}
    write_checked(tmp_path / "plan.json", {**manifest, "format": 1})
    with pytest.raises(FolderFormatError, match="another version of this program"):
        stored_suite(tmp_path)
    with pytest.raises(FolderFormatError, match=r"or run the suite in another folder$"):
        write_manifest(manifest_of(make_plan(small_suite(), cache)), tmp_path)
    manifest["suite"]["attacks"].append({"attack": "gone"})
    write_checked(tmp_path / "plan.json", {**manifest, "parts": []})
    with pytest.raises(SuiteError, match="unknown attack 'gone'"):
        stored_suite(tmp_path)
    assert len(stored_suite(tmp_path, attacks=False).attacks) == 3
    manifest["suite"]["colour"] = "blue"
    write_checked(tmp_path / "plan.json", {**manifest, "parts": []})
    with pytest.raises(SuiteError, match="colour: unknown key"):
        stored_suite(tmp_path)
