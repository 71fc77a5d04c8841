"""What is handed back and does not fit is refused, with its place and the remedy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmark.outside.asking import parse_epsilon
from benchmark.outside.errors import OutsideError
from benchmark.outside.export import export_trials
from benchmark.outside.submissions import submit
from benchmark.outside.trial_file import TrialFile
from benchmark.outside.trials import Origin
from benchmark.results.manifest import write_manifest
from reports.results import load_results
from tests.conftest import (
    InlineEngine,
    run_inline,
    run_jobs,
    small_suite,
)
from tests.handing import CODES, SOURCE, Arrays, asked, crafted


def test_every_faulty_file_is_named_at_once(origin: Origin, trials: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trials / "queries", tmp_path / "mine"))
    (folder / "00001.png").unlink()
    (folder / "00002.png").write_bytes(b"no image")
    (folder / "00003.png").write_bytes((folder / "00004.png").read_bytes()[:80])
    Image.new("RGB", (28, 32)).save(folder / "00005.png")
    Image.new("RGBA", (32, 32)).save(folder / "00006.png")
    Image.new("RGB", (32, 32)).save(folder / "00007.png", "jpeg")
    Image.new("RGB", (32, 32)).save(folder / "100.png")
    (folder / ".DS_Store").touch()
    with pytest.raises(OutsideError) as caught:
        asked(folder).submissions(TrialFile.read(trials), origin)
    told = str(caught.value)
    for part in (
        "1 missing (00001.png)",
        "1 of no query (100.png)",
        "4 unreadable (00002.png: no image, 00003.png: ",
        "1 of another size than 32 x 32 (00005.png: 28 x 32)",
    ):
        assert part in told
    for name in ("00002.png", "00003.png"):
        shutil.copy(trials / "queries" / name, folder)
    with pytest.raises(OutsideError, match=r"2 unreadable \(00006.png: PNG RGBA, expected an 8-b"):
        asked(folder).submissions(TrialFile.read(trials), origin)


@pytest.mark.parametrize(
    ("array", "changes", "message"),
    [
        (np.zeros((32, 32, 32, 3)), {}, r"shape \(32, 32, 32, 3\), expected \(32, 3, 32, 32\)"),
        (np.zeros((32, 3, 32, 32), dtype=int), {}, "int64, expected floats in"),
        (CODES[:, :12], {"kind": "codes"}, r"shape \(32, 12\), expected \(32, 32\)"),
        (CODES * 0.9, {"kind": "codes"}, r"but 32 rows hold something else \(row 0, row 1, row 2,"),
        (CODES, {"kind": "codes", "source": "DPSH-Tiny-23"}, "did you mean 'DPSH-Tiny-"),
        (CODES, {"kind": "codes", "attack": "dhta"}, "an attack of this program is called so"),
        (CODES, {"kind": "codes", "attack": "a/b"}, "letters, digits, dashes"),
        (CODES, {"kind": "codes", "setting": 1}, "none of that number; there is\n  0: digits"),
        (CODES, {"kind": "codes", "victims": ["*-VGG*"]}, "no such target; there is DPSH-Tiny-12"),
    ],
)
def test_what_does_not_fit_is_refused(
    array: Arrays,
    changes: dict[str, Any],
    message: str,
    origin: Origin,
    trials: Path,
    tmp_path: Path,
) -> None:
    path = tmp_path / "mine.npy"
    np.save(path, array)
    with pytest.raises(OutsideError, match=message):
        asked(path, **changes).submissions(TrialFile.read(trials), origin)


def test_files_that_cannot_be_read_are_named(origin: Origin, trials: Path, tmp_path: Path) -> None:
    def refused(name: str, content: bytes, kind: str, message: str) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(OutsideError, match=message):
            asked(tmp_path / name, kind=kind).submissions(TrialFile.read(trials), origin)

    refused("a.npy", b"", "images", "a.npy cannot be read as .npy")
    refused("a.npz", b"PK", "images", "a.npz cannot be read as .npz")
    refused("a.safetensors", b"x" * 20, "images", "a.safetensors cannot be read")
    refused("a.csv", b"one,two\n1,2\n", "codes", "a.csv cannot be read as .csv")
    refused("a.csv", b"1,-1\n", "images", "expected a folder of PNG, or a file that ends in .npy")
    refused("a.pt", b"", "codes", "expected a file that ends in .npy")
    with pytest.raises(OutsideError, match="no such file or folder"):
        asked(tmp_path / "gone").submissions(TrialFile.read(trials), origin)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset_fingerprint": "f" * 64}, r"dataset_fingerprint is \w+ there, f+ in the trials"),
        ({"draw_seed": 4}, "draw_seed is 0 there, 4 in the trials; export the trials again"),
        ({"targets": [[0]] * 32}, r"the target labels of \d+ of 32 queries differ"),
        ({"sha256": "0" * 64}, r"DPSH-Tiny-32 is another hasher now \(SHA-256 0{12} then"),
        ({"policy": 3}, r"policy: Input should be a valid string .*\n.*writes such a file"),
    ],
)
def test_other_trials_are_refused_with_the_difference(
    change: dict[str, Any], message: str, origin: Origin, trials: Path, tmp_path: Path
) -> None:
    content = json.loads((trials / "trials.json").read_bytes())
    place = content["settings"][0]
    (place["sources"][1] if "sha256" in change else place).update(change)
    (tmp_path / "trials.json").write_text(json.dumps(content), encoding="utf-8")
    np.save(tmp_path / "mine.npy", CODES)
    with pytest.raises(OutsideError, match=message):
        asked(tmp_path / "mine.npy", kind="codes").submissions(TrialFile.read(tmp_path), origin)


def test_folders_of_others_are_left_alone(
    origin: Origin, trials: Path, cache: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", CODES)
    what = asked(tmp_path / "a.npy", kind="codes", epsilon=None)
    made = what.submissions(TrialFile.read(trials), origin)
    with pytest.raises(OutsideError, match="the folder of the run itself"):
        submit(origin, origin.out, made)
    run_inline(small_suite(attacks=["original"]), cache, tmp_path / "run")
    with pytest.raises(OutsideError, match="holds a run"):
        submit(origin, tmp_path / "run", made)
    submit(origin, tmp_path / "to", made)
    copied = Path(shutil.copytree(origin.out, tmp_path / "copied"))
    with pytest.raises(OutsideError, match="holds scores on hashers of"):
        submit(Origin.of(copied, cache), tmp_path / "to", made)


def test_a_hasher_that_is_not_there_is_not_trained_here(
    origin: Origin, trials: Path, cache: Path, tmp_path: Path
) -> None:
    copied = Path(shutil.copytree(origin.out, tmp_path / "copied"))
    half = Origin.of(copied, cache)
    np.save(tmp_path / "a.npy", crafted(origin.out, "dhta"))
    what = asked(tmp_path / "a.npy", victims=["*"])
    shutil.rmtree(half.store.folder(half.trials[0].hasher("DPSH-Tiny-12").ref))
    made = what.submissions(TrialFile.read(trials), half)
    with pytest.raises(OutsideError, match="has not yet done: train DPSH-Tiny-12; run it first"):
        submit(half, tmp_path / "to", made)
    assert [source.name for source in export_trials(half, tmp_path / "t").settings[0].sources] == [
        SOURCE
    ]
    shutil.rmtree(copied / "store" / "train")
    with pytest.raises(OutsideError, match="none of its hashers is trained yet"):
        export_trials(half, tmp_path / "t")
    with pytest.raises(OutsideError, match="DPSH-Tiny-32 is not trained there"):
        what.submissions(TrialFile.read(trials), half)


def test_what_changes_behind_the_plan_fails(
    origin: Origin, trials: Path, cache: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", CODES)
    what = asked(tmp_path / "a.npy", kind="codes", epsilon=None)
    whole, plan = submit(origin, tmp_path / "to", what.submissions(TrialFile.read(trials), origin))
    write_manifest(whole, tmp_path / "to")
    np.save(tmp_path / "a.npy", -CODES.astype(float))
    run_jobs(plan.jobs, tmp_path / "to", InlineEngine(), None, cache)
    (row,) = (one for _, one in load_results(tmp_path / "to").iterrows())
    assert row["status"] == "failed"
    assert "a.npy changed since the plan was made" in row["reason"]


@pytest.mark.parametrize("text", ["8", "x", "-0.1", "8/0", "1/2/3", ""])
def test_a_budget_is_a_fraction(text: str) -> None:
    assert parse_epsilon("8/255") == 8 / 255
    assert parse_epsilon("0.03") == 0.03
    with pytest.raises(OutsideError, match="expected a number from 0 to 1, like 8/255"):
        parse_epsilon(text)
