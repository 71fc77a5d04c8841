"""What is handed back and does not fit is refused, with its place and the remedy."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import save

from hashattack.benchmark.external.asking import parse_epsilon
from hashattack.benchmark.external.errors import OutsideError
from hashattack.benchmark.external.export import export_trials
from hashattack.benchmark.external.submissions import submit
from hashattack.benchmark.external.trial_file import TrialFile
from hashattack.benchmark.external.trials import Origin
from hashattack.benchmark.results.manifest import write_manifest
from hashattack.reports.results import load_results
from tests.conftest import (
    InlineEngine,
    run_inline,
    run_jobs,
    small_suite,
)
from tests.handing import CODES, SOURCE, Arrays, asked, crafted, write_deep_png


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


def test_a_png_that_a_reader_would_cut_or_choke_on_is_refused(
    origin: Origin, trials: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(trials / "queries", tmp_path / "mine"))
    write_deep_png(np.full((3, 32, 32), 0.3), folder / "00001.png")
    note = PngInfo()
    note.add_text("long", "x" * 2_000_000, zip=True)
    Image.new("RGB", (32, 32)).save(folder / "00002.png", pnginfo=note)
    with pytest.raises(OutsideError) as caught:
        asked(folder).submissions(TrialFile.read(trials), origin)
    told = str(caught.value)
    assert "00001.png: PNG RGB of 16 bits a channel, expected an 8-bit RGB PNG" in told
    assert "00002.png: a damaged image: Decompressed data too large" in told


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: 255 * x, r"mine.npy: values from 0 to 2\d\d.*, expected .*: divide by 255"),
        (lambda x: 2 * x - 1, r"this looks like \[-1, 1\]: convert it by \(images \+ 1\) / 2"),
        (lambda x: (x - 0.45) / 0.22, "this looks standardised: multiply by the deviation"),
        (lambda x: x.astype(np.uint8), "this looks like floats cut to 0 and 1"),
        (lambda x: (255 * x).astype(int), r"int64, expected floats in \[0, 1\], or uint8"),
        (lambda x: x.astype(np.longdouble), r"is not read here; save it as float32"),
    ],
)
def test_pixels_of_another_range_or_type_are_refused_with_the_remedy(
    change: Callable[[Arrays], Arrays],
    message: str,
    origin: Origin,
    trials: Path,
    tmp_path: Path,
) -> None:
    images = crafted(origin.out, "dhta")
    images[0, 0, 0, :2] = 0, 1
    np.save(tmp_path / "mine.npy", change(images))
    with pytest.raises(OutsideError, match=message):
        asked(tmp_path / "mine.npy").submissions(TrialFile.read(trials), origin)


@pytest.mark.parametrize("low", [-8 / 255, float("nan"), float("inf")])
def test_a_promise_broken_by_an_attack_is_left_to_the_audit(
    low: float, origin: Origin, trials: Path, tmp_path: Path
) -> None:
    images = crafted(origin.out, "dhta")
    images[0, 0, 0, 0] = low
    np.save(tmp_path / "mine.npy", images)
    assert asked(tmp_path / "mine.npy").submissions(TrialFile.read(trials), origin)


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
    np.savez_compressed(tmp_path / "b.npz", images=crafted(origin.out, "dhta"))
    whole = (tmp_path / "b.npz").read_bytes()
    damaged = whole[:60] + b"\xff" * 20 + whole[80:]
    refused("b.npz", damaged, "images", "b.npz cannot be read as .npz: Error -3 while decompress")
    with zipfile.ZipFile(tmp_path / "c.npz", "w") as packed:
        packed.writestr("readme.txt", "see above")
    refused("c.npz", (tmp_path / "c.npz").read_bytes(), "images", "c.npz holds no array but bytes")
    head = b"\x93NUMPY\x01\x00\x10\x00{'descr': (((\n   "
    refused("d.npy", head, "codes", "d.npy cannot be read as .npy")
    for name, kind in (("BF16", torch.bfloat16), ("F8_E4M3", torch.float8_e4m3fn)):
        content = save({"images": torch.zeros(32, 3, 32, 32).to(kind)})
        refused("e.safetensors", content, "images", f"{name} is not read here; save it as float32")
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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            lambda text: text[:100],
            r"submissions.json: Invalid JSON: .*\n.*restore it, choose anoth",
        ),
        (lambda _: "{}", r"origin: Field required\n.*submissions: Field required\n.*rows would be"),
        (lambda _: "[]", r"submissions.json: Input should be an object"),
        (lambda text: text.replace('"title"', '"titel"'), r"titel: unknown key; did you mean 'tit"),
    ],
)
def test_a_damaged_list_of_what_was_scored_loses_no_row(
    content: Callable[[str], str],
    message: str,
    origin: Origin,
    trials: Path,
    tmp_path: Path,
) -> None:
    np.save(tmp_path / "a.npy", CODES)
    what = asked(tmp_path / "a.npy", kind="codes", epsilon=None)
    made = what.submissions(TrialFile.read(trials), origin)
    submit(origin, tmp_path / "to", made)
    file = tmp_path / "to" / "submissions.json"
    damaged = content(file.read_text(encoding="utf-8"))
    file.write_text(damaged, encoding="utf-8")
    with pytest.raises(OutsideError, match=message):
        submit(origin, tmp_path / "to", made)
    assert file.read_text(encoding="utf-8") == damaged
    file.unlink()
    submit(origin, tmp_path / "to", made)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"trials.json: Invalid JSON: EOF .*\nexport-trials writes such a file"),
        (
            '{"format": 2, "suite": "a", "out": "b", "settings": []}',
            "settings: List should have at",
        ),
        (
            '{"settings": [{"seed": 1}]}',
            r"settings\[0\].seed: unknown key; did you mean 'draw_seed'",
        ),
        (
            '{"settings": [{"sources": [{"hash": 1}]}]}',
            r"sources\[0\].hash: unknown key; did you mean 'hasher'\?",
        ),
    ],
)
def test_faults_of_a_trials_file_are_told_in_its_own_terms(
    content: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "trials.json").write_text(content, encoding="utf-8")
    with pytest.raises(OutsideError, match=message) as caught:
        TrialFile.read(tmp_path)
    assert ": :" not in str(caught.value)


@pytest.mark.parametrize("text", ["8", "x", "-0.1", "8/0", "1/2/3", ""])
def test_a_budget_is_a_fraction(text: str) -> None:
    assert parse_epsilon("8/255") == 8 / 255
    assert parse_epsilon("0.03") == 0.03
    with pytest.raises(OutsideError, match="expected a number from 0 to 1, like 8/255"):
        parse_epsilon(text)
