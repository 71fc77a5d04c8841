"""Attacks of other code: exported trials are whole, and what comes back is scored like our own."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import load_file, save
from torch import Tensor, nn

from hashattack.benchmark.external import ExternalError
from hashattack.benchmark.external.export import TrialFile, export_trials
from hashattack.benchmark.external.scoring import matching_trial, submit
from hashattack.benchmark.external.submission import Kind, parse_epsilon, read_submission
from hashattack.benchmark.external.trials import Origin
from hashattack.benchmark.plan.plan import graphs_of
from hashattack.benchmark.results.frame import load_results
from hashattack.benchmark.results.manifest import read_manifest
from hashattack.benchmark.results.stored_suite import stored_suite
from hashattack.benchmark.store.store import JobRef, Store
from hashattack.benchmark.suites.sources import SuiteError
from tests.conftest import (
    SMALL_DIGITS,
    SmokeRun,
    run_cli,
    run_inline,
    small_suite,
)
from tests.submissions import (
    CODES,
    SOURCE,
    Arrays,
    crafted,
    request,
    run_submissions,
    scored,
)

METRICS = ["t_map", "t_map_stable", "map", "map_stable", "chance", "chance_map", "precision_at_10"]
DISTORTIONS = ["t_map_8bit", "perceptibility", "perceptibility_rms", "linf", "l2"]
SHAPES: dict[Kind, tuple[int, ...]] = {"images": (8, 3, 32, 32), "codes": (8, 32)}


def settings_in(trials: Path) -> list[dict[str, Any]]:
    content = json.loads((trials / "trials.json").read_text(encoding="utf-8"))
    settings: list[dict[str, Any]] = content["settings"]
    return settings


def own_row(out: Path, attack: str) -> pd.Series[Any]:
    rows = load_results(out)
    return rows[(rows["attack"] == attack) & (rows["victim"] == SOURCE)].iloc[0]


def write_png(images: Arrays, folder: Path) -> Path:
    folder.mkdir()
    for row, image in enumerate(np.rint(255 * images).astype(np.uint8)):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{row:05d}.png")
    return folder


def write_deep_png(image: Arrays, file: Path) -> None:
    """Write an image [3, height, width] in [0, 1] as RGB of 16 bits, which Pillow only reads."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    deep = np.rint(65535 * image).astype(">u2").transpose(1, 2, 0)
    height, width, _ = deep.shape
    lines = b"".join(b"\0" + line.tobytes() for line in deep)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")]
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def foreign_hasher(trials: Path, name: str) -> Callable[[Tensor], Tensor]:
    """Build a hasher as other code would: from ``trials.json`` and the files beside it alone."""
    (setting,) = settings_in(trials)
    (source,) = (one for one in setting["sources"] if one["name"] == name)
    assert source["trunk"]["in_sequence"]
    # The arguments are read by nothing but Python: a test may.
    layers = [eval(f"nn.{layer}", {"nn": nn}) for _, layer in source["trunk"]["layers"]]
    tensors = load_file(trials / source["hasher"])
    for (begin, _), layer in zip(source["trunk"]["layers"], layers, strict=True):
        names = [key for key in tensors if key.startswith(f"{begin}.")]
        layer.load_state_dict({key.removeprefix(f"{begin}."): tensors[key] for key in names})
    trunk = nn.Sequential(*layers).eval()

    @torch.no_grad()
    def outputs(images: Tensor) -> Tensor:
        features = trunk((images - tensors["mean"]) / tensors["std"])
        weight, bias = tensors["hash_layer.weight"], tensors["hash_layer.bias"]
        return torch.tanh(tensors["scale"] * nn.functional.linear(features, weight, bias))

    return outputs


# -- non-targeted --------------------------------------------------------------------------------


def test_non_targeted_images_get_the_row_they_would_have_had_here(
    cache: Path, tmp_path: Path
) -> None:
    out, trials = tmp_path / "run", tmp_path / "trials"
    attack = {"attack": "hag", "params": {"steps": 3}}
    run_inline(small_suite(attacks=["original", attack]), cache, out)
    origin = Origin.of(out, cache)
    (written,) = export_trials(origin, trials, goal="non-targeted").settings
    assert (written.policy, written.targets) == ("own", None)
    assert "non-targeted, without query labels" in written.summary
    assert settings_in(trials)[0]["targets"] is None
    wanted = load_results(out).set_index("attack").loc["hag"]
    images = Store(out / "store").arrays(JobRef("craft", _craft_key(out, "hag")))["images"]
    np.save(tmp_path / "images.npy", images)
    what = request(tmp_path / "images.npy", source=written.sources[0].name)
    row = scored(origin, trials, cache, tmp_path / "scored", what).iloc[0]
    for name in ("map", "map_8bit", "goal", "sees_query_labels", "budget_class", "policy", "linf"):
        assert row[name] == wanted[name], name
    assert pd.isna(row["t_map"])
    assert pd.isna(row["passes_per_image"])
    codes = replace(what, kind="codes", epsilon=None)
    with pytest.raises(ExternalError, match="made of the queries' labels, which these trials"):
        codes.cells(TrialFile.read(trials), origin)


def test_query_labels_are_exported_on_request_and_ranked_apart(cache: Path, tmp_path: Path) -> None:
    out, trials = tmp_path / "run", tmp_path / "trials"
    run_inline(small_suite(attacks=["original"]), cache, out)
    origin = Origin.of(out, cache)
    with pytest.raises(ExternalError, match="only a non-targeted attack may see"):
        export_trials(origin, trials, query_labels=True)
    (written,) = export_trials(origin, trials, goal="non-targeted", query_labels=True).settings
    own = origin.trials[0].graph.data.query.labels[: written.n_queries]
    assert written.targets == [np.flatnonzero(row).tolist() for row in own]
    np.save(tmp_path / "codes.npy", np.ones((written.n_queries, 12), dtype=np.int8))
    what = request(tmp_path / "codes.npy", source=written.sources[0].name, kind="codes")
    row = scored(origin, trials, cache, tmp_path / "scored", what).iloc[0]
    assert row["sees_query_labels"]
    assert row["budget_class"] == "code+labels"
    assert row["status"] == "ok"


def _craft_key(out: Path, attack: str) -> str:
    cells = read_manifest(out)["cells"]
    return str(next(one["jobs"]["craft"] for one in cells if one["row"]["attack"] == attack))


# -- exported ----------------------------------------------------------------------------------


def test_trials_hold_what_an_attack_of_our_own_sees(origin: Origin, trials: Path) -> None:
    (one,) = settings_in(trials)
    data = origin.trials[0].graph.data
    rows = [
        np.asarray(Image.open(trials / one["queries"] / one["image"].format(row=row)))
        for row in range(one["n_queries"])
    ]
    assert (np.stack(rows).transpose(0, 3, 1, 2) == data.query.images.read(np.arange(32))).all()
    jobs = read_manifest(origin.out)["jobs"]
    (draw,) = (JobRef("draw", key) for key, job in jobs.items() if job["stage"] == "draw")
    drawn = origin.store.arrays(draw)["targets"]
    assert [np.flatnonzero(row).tolist() for row in drawn] == one["targets"]
    table = pd.read_csv(trials / "targets.csv")
    assert table["image"].tolist()[:2] == ["00000.png", "00001.png"]
    assert table["target"][0] == "; ".join(one["classes"][number] for number in one["targets"][0])
    assert [source["name"] for source in one["sources"]] == ["DPSH-Tiny-12", SOURCE]
    hasher = (trials / one["sources"][1]["hasher"]).read_bytes()
    assert hashlib.sha256(hasher).hexdigest() == one["sources"][1]["sha256"]
    assert (np.load(trials / one["labels"]["database"]) == data.database.labels).all()
    # Nothing of the queries' own labels.
    written = {str(path.relative_to(trials)) for path in trials.rglob("*") if path.is_file()}
    queries = {f"queries/{row:05d}.png" for row in range(32)}
    labels = {"labels/train.npy", "labels/database.npy"}
    networks = {source["hasher"] for source in one["sources"]}
    codes = {file for source in one["sources"] for file in source["codes"].values()}
    assert (len(networks), len(codes)) == (2, 4)
    assert written == {"trials.json", "targets.csv", *labels, *queries, *networks, *codes}


def test_an_exported_folder_is_all_that_other_code_needs(
    origin: Origin, trials: Path, tmp_path: Path
) -> None:
    sent = Path(shutil.copytree(trials, tmp_path / "sent"))
    hasher = foreign_hasher(sent, SOURCE)
    (one,) = settings_in(sent)
    files = [
        sent / one["queries"] / one["image"].format(row=row) for row in range(one["n_queries"])
    ]
    pixels = np.stack([np.asarray(Image.open(file)) for file in files]).transpose(0, 3, 1, 2)
    codes = torch.where(hasher(torch.from_numpy(pixels) / 255) >= 0, 1, -1)
    cells = read_manifest(origin.out)["cells"]
    (key,) = (
        cell["jobs"]["hash"]
        for cell in cells
        if (cell["row"]["attack"], cell["row"]["victim"]) == ("original", SOURCE)
    )
    assert (codes.numpy() == origin.store.arrays(JobRef("hash", key))["codes"]).all()


def test_a_defended_hasher_is_not_the_undefended_one(cache: Path, tmp_path: Path) -> None:
    """As after saat1 and then saat2 in one folder."""
    run_inline(small_suite(attacks=["original"]), cache, tmp_path)
    (target,) = small_suite().targets
    targets = [target.model_dump(), target.model_dump() | {"defence": "SAAT"}]
    plan, _ = run_inline(small_suite(attacks=["original"], targets=targets), cache, tmp_path)
    skipped = {cell.row["victim"]: cell.skipped for cell in plan.cells}
    reason = "no defence is implemented, so there is no DPSH-Tiny-12-SAAT"
    assert skipped == {"DPSH-Tiny-12": None, "DPSH-Tiny-12-SAAT": reason}
    ((graph, (_, defended)),) = graphs_of(plan.suite, cache)
    with pytest.raises(SuiteError, match=reason):
        graph.train(defended, 0)
    (written,) = export_trials(Origin.of(tmp_path, cache), tmp_path / "trials").settings
    assert [source.name for source in written.sources] == ["DPSH-Tiny-12"]


def test_an_export_without_hashers_says_where_they_are(origin: Origin, tmp_path: Path) -> None:
    export_trials(origin, tmp_path, hashers=False)
    assert not (tmp_path / "hashers").exists()
    for source in settings_in(tmp_path)[0]["sources"]:
        file = (tmp_path / source["hasher"]).read_bytes()
        assert hashlib.sha256(file).hexdigest() == source["sha256"]


def test_several_settings_take_a_file_each(cache: Path, tmp_path: Path) -> None:
    run_inline(small_suite(seeds=2, attacks=["original"]), cache, tmp_path / "run")
    origin = Origin.of(tmp_path / "run", cache)
    written = export_trials(origin, tmp_path / "trials")
    assert [one.draw_seed for one in written.settings] == [0, 1]
    assert written.settings[0].targets != written.settings[1].targets
    path = tmp_path / "mine"
    path.mkdir()
    np.save(path / "0.npy", np.ones((10, 12)))
    what = {"kind": "codes", "source": "DPSH-Tiny-12"}
    with pytest.raises(ExternalError, match="no folder or file named by the number of setting 1: "):
        request(path, **what).cells(written, origin)
    (only,) = request(path / "0.npy", **what, setting=0).cells(written, origin)
    assert only.row["draw_seed"] == 0
    np.savetxt(path / "1.csv", np.ones((10, 12)), delimiter=",")
    rows = scored(origin, tmp_path / "trials", cache, tmp_path / "to", request(path, **what))
    assert rows["draw_seed"].tolist() == [0, 1]
    assert rows["chance"].nunique() == 2  # each against its own target labels
    np.save(path / "0.npy", np.ones((9, 12)))
    np.savetxt(path / "1.csv", np.zeros((10, 11)), delimiter=",")
    with pytest.raises(ExternalError, match=r"\(9, 12\)(.|\n)*\(10, 11\)"):
        request(path, **what).cells(written, origin)


def test_data_sets_are_exported_apart(cache: Path, tmp_path: Path) -> None:
    data = [{"dataset": "digits", "params": {**SMALL_DIGITS, "n_query": n}} for n in (11, 12)]
    run_inline(small_suite(datasets=data, attacks=["original"]), cache, tmp_path / "run")
    origin = Origin.of(tmp_path / "run", cache)
    written = export_trials(origin, tmp_path / "trials", images=True).settings
    settings = settings_in(tmp_path / "trials")
    targeted = [trial for trial in origin.trials if trial.setting.goal == "targeted"]
    for one, trial in zip(settings, targeted, strict=True):
        assert one["queries"] == f"queries/digits-{one['dataset_fingerprint'][:8]}"
        last = np.asarray(Image.open(tmp_path / "trials" / one["queries"] / "00009.png"))
        wanted = trial.graph.data.query.images.read(np.array([9]))[0]
        assert (last.transpose(2, 0, 1) == wanted).all()
        assert len(list((tmp_path / "trials" / one["queries"]).iterdir())) == 10
    assert len({one["queries"] for one in settings}) == 2
    fingerprint = written[1].dataset_fingerprint
    only = [f"dataset_fingerprint={fingerprint}"]
    export_trials(origin, tmp_path / "one", only)
    assert settings_in(tmp_path / "one")[0]["labels"]["train"] == "labels/train.npy"
    with pytest.raises(ExternalError, match=r"matches no trained hasher .* and no attack"):
        export_trials(origin, tmp_path / "one", ["attack=original"])


# -- scored ------------------------------------------------------------------------------------


def test_float_images_get_the_row_they_would_have_had_here(
    origin: Origin, trials: Path, cache: Path, tmp_path: Path
) -> None:
    # In the byte order and with the axes in an order that are not ours.
    np.save(tmp_path / "mine.npy", np.asfortranarray(crafted(origin.out, "dhta").astype(">f4")))
    what = request(tmp_path / "mine.npy", victims=["*"])
    rows = scored(origin, trials, cache, tmp_path / "to", what)
    assert rows["victim"].tolist() == ["DPSH-Tiny-12", SOURCE]
    row, own = rows.iloc[1], own_row(origin.out, "dhta")
    same = [*METRICS, *DISTORTIONS, "budget_class", "epsilon", "n_queries", "dataset_fingerprint"]
    assert row[same].tolist() == own[same].tolist()
    assert row[["status", "attack", "title", "protocol"]].tolist() == [
        *("ok", "theirs", "Theirs", "released")
    ]
    assert row[["seconds_per_image", "fit_seconds", "device", "overrides"]].isna().tolist() == [
        *(True, True, True, False)
    ]
    assert row["notes"] == "images of other code"
    assert rows.iloc[0]["linf"] == row["linf"]
    with pytest.raises(SuiteError, match="which no suite can make"):
        stored_suite(tmp_path / "to")


def test_png_and_uint8_cost_what_8_bits_cost(
    origin: Origin, trials: Path, cache: Path, tmp_path: Path
) -> None:
    folder = write_png(crafted(origin.out, "dhta"), tmp_path / "mine")
    row = scored(origin, trials, cache, tmp_path / "to", request(folder)).iloc[0]
    assert row["t_map"] == row["t_map_8bit"] == own_row(origin.out, "dhta")["t_map_8bit"]
    assert row["status"] == "ok"  # within 8/255: the clean query has 8 bits, too
    assert "rounded to 8 bits" in row["notes"]
    images = np.stack([np.asarray(Image.open(one)) for one in sorted(folder.iterdir())])
    np.savez(tmp_path / "mine.npz", images=images.transpose(0, 3, 1, 2), other=np.zeros(3))
    array = scored(origin, trials, cache, tmp_path / "b", request(tmp_path / "mine.npz")).iloc[0]
    same = [*METRICS, *DISTORTIONS, "notes"]
    assert array[same].tolist() == row[same].tolist()


def test_half_precision_is_noted_and_may_break_the_budget(
    origin: Origin, trials: Path, cache: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "half.npy", crafted(origin.out, "dhta").astype(np.float16))
    row = scored(origin, trials, cache, tmp_path / "to", request(tmp_path / "half.npy")).iloc[0]
    assert row["status"] == "invalid"
    assert "exceeds the declared budget" in row["reason"]
    assert row["notes"].endswith("in half precision, which rounds a pixel by up to 0.062/255")


def test_exported_queries_submitted_again_are_unchanged(
    origin: Origin, trials: Path, cache: Path, tmp_path: Path
) -> None:
    what = request(trials / "queries", epsilon=None)
    row = scored(origin, trials, cache, tmp_path / "to", what).iloc[0]
    assert row["t_map"] == own_row(origin.out, "original")["t_map"]
    assert row[["linf", "l2", "budget_class"]].tolist() == [0, 0, "unbounded"]


def test_codes_get_the_row_they_would_have_had_here(
    origin: Origin, trials: Path, cache: Path, tmp_path: Path
) -> None:
    np.savetxt(tmp_path / "mine.csv", crafted(origin.out, "anchor-code"), delimiter=",")
    what = request(tmp_path / "mine.csv", kind="codes", victims=["*"])
    rows = scored(origin, trials, cache, tmp_path / "to", what)
    skipped, row = rows.iloc[0], rows.iloc[1]
    own = own_row(origin.out, "anchor-code")
    assert row[METRICS].tolist() == own[METRICS].tolist()
    assert row["budget_class"] == own["budget_class"] == "code"
    assert row[DISTORTIONS].isna().all()
    assert skipped["status"] == "skipped"
    assert "a 32-bit code cannot query a 12-bit database" in skipped["reason"]


def test_a_folder_keeps_what_was_scored_and_replaces_what_is_scored_again(
    origin: Origin, trials: Path, cache: Path, tmp_path: Path
) -> None:
    to = tmp_path / "to"
    np.save(tmp_path / "a.npy", CODES)
    np.save(tmp_path / "b.npy", crafted(origin.out, "anchor-code"))
    for name, attack in (("a", "one"), ("b", "two"), ("b", "one")):
        what = request(tmp_path / f"{name}.npy", kind="codes", attack=attack)
        rows = scored(origin, trials, cache, to, what)
    assert rows["attack"].tolist() == ["two", "one"]
    assert rows["t_map"].nunique() == 1
    assert (rows["status"] == "ok").all()


@pytest.mark.usefixtures("no_figures")
def test_the_command_line_ranks_it_beside_the_run_and_names_what_is_invalid(
    smoke: SmokeRun, cache: Path, tmp_path: Path
) -> None:
    to, common = tmp_path / "to", ["--out", str(smoke.out), "--cache", str(cache)]
    folder = tmp_path / "trials"
    done = run_cli("export-trials", *common, "--to", str(folder), "--only", f"source={SOURCE}")
    assert done.returncode == 0, done.stderr
    assert "0: digits, released, frequent target labels, draw seed 0" in done.stdout
    assert "DPSH-Tiny-12" not in (folder / "trials.json").read_text(encoding="utf-8")
    np.save(tmp_path / "codes.npy", crafted(smoke.out, "anchor-code"))
    images = crafted(smoke.out, "dhta")
    images[3] = np.clip(images[3] + 0.1, 0, 1)
    np.save(tmp_path / "images.npy", images)
    here = ["--trials", str(folder / "trials.json"), *common, "--source", SOURCE, "--to", str(to)]
    arguments = ["--images", str(tmp_path / "images.npy"), "--attack", "mine", "--no-report"]
    done = run_cli("score", *here, *arguments, "--epsilon", "8/255", "--title", "My attack")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "exceeds the declared budget of 8.0000/255 by 0.1" in done.stdout
    assert not (to / "results.csv").exists()
    done = run_cli("score", *here, "--codes", str(tmp_path / "codes.npy"), "--attack", "coded")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"ok: coded against {SOURCE}: t-MAP " in done.stdout
    assert "of earlier calls, without a result either: My attack\n" in done.stdout
    codes = done.stdout.partition("codes only (a bound)")[2]
    assert " coded [on 1 of 2 hashers] " in codes
    assert " Anchor code " in codes
    rows = pd.read_csv(to / "results.csv").set_index("attack")
    assert rows["status"].to_dict() == {"mine": "invalid", "coded": "ok"}
    assert rows["linf"]["mine"] == pytest.approx(8 / 255 + 0.1, abs=1e-3)
    merged = pd.read_csv(to / "report" / "results.csv")
    assert len(merged) == len(load_results(smoke.out)) + 2
    assert "My attack" in (to / "report" / "index.html").read_text(encoding="utf-8")
    done = run_cli("score", *here, *arguments, "--codes", str(tmp_path / "codes.npy"))
    assert (done.returncode, "give either --images or --codes" in done.stderr) == (2, True)


# -- refused -----------------------------------------------------------------------------------


def pixels(*, seed: int = 0) -> Arrays:
    images = np.random.default_rng(seed).random(SHAPES["images"], dtype=np.float32)
    images[0, 0, 0, :2] = 0, 1
    return images


def refused(path: Path, message: str, kind: Kind = "images") -> None:
    with pytest.raises(ExternalError, match=message):
        read_submission(kind, path, SHAPES[kind])


def test_every_faulty_image_is_named_at_once(tmp_path: Path) -> None:
    folder = write_png(pixels(), tmp_path / "mine")
    (folder / "00001.png").unlink()
    (folder / "00002.png").write_bytes(b"no image")
    (folder / "00003.png").write_bytes((folder / "00004.png").read_bytes()[:80])
    Image.new("RGB", (28, 32)).save(folder / "100.png")
    (folder / ".DS_Store").touch()
    damaged = r"2 unusable \(00002.png: no image, 00003.png: a damaged image"
    refused(folder, rf"1 missing \(00001.png\); 1 of no query \(100.png\); {damaged}")


def test_a_png_that_a_reader_would_cut_or_fail_on_is_refused(tmp_path: Path) -> None:
    folder = write_png(pixels(), tmp_path / "mine")

    def one(message: str) -> None:
        refused(folder, rf"1 unusable \(00001.png: {message}")

    Image.new("RGB", (28, 32)).save(folder / "00001.png")
    one("28 x 32 pixels, expected 32 x 32")
    Image.new("RGBA", (32, 32)).save(folder / "00001.png")
    one("PNG RGBA, expected an 8-bit RGB PNG")
    Image.new("RGB", (32, 32)).save(folder / "00001.png", "jpeg")
    one("JPEG RGB, expected an 8-bit RGB PNG")
    write_deep_png(np.full((3, 32, 32), 0.3), folder / "00001.png")
    one("PNG RGB of 16 bits a channel, expected an 8-bit RGB PNG")
    note = PngInfo()
    note.add_text("long", "x" * 2_000_000, zip=True)
    Image.new("RGB", (32, 32)).save(folder / "00001.png", pnginfo=note)
    one("a damaged image: Decompressed data too large")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: 255 * x, r"mine.npy: values from 0 to 255, expected .*: divide by 255"),
        (lambda x: 2 * x - 1, r"this looks like \[-1, 1\]: convert it by \(images \+ 1\) / 2"),
        (lambda x: (x - 0.45) / 0.22, "this looks like standardised: multiply by the deviation"),
        (lambda x: x.astype(np.uint8), "this looks like floats cut to 0 and 1"),
        (lambda x: (255 * x).astype(int), r"int64, expected floats in \[0, 1\], or uint8"),
        (lambda x: x.astype(np.longdouble), "cannot be used; save it as float32"),
        (lambda x: x.transpose(0, 2, 3, 1), r"\(8, 32, 32, 3\), expected \(8, 3, 32, 32\)"),
    ],
)
def test_pixels_of_another_range_type_or_shape_are_refused_with_the_remedy(
    change: Callable[[Arrays], Arrays], message: str, tmp_path: Path
) -> None:
    np.save(tmp_path / "mine.npy", change(pixels()))
    refused(tmp_path / "mine.npy", message)


@pytest.mark.parametrize("low", [-8 / 255, float("nan"), float("inf")])
def test_pixels_a_little_outside_or_not_finite_are_left_to_the_audit(
    low: float, tmp_path: Path
) -> None:
    images = pixels()
    images[0, 0, 0, 0] = low
    np.save(tmp_path / "mine.npy", images)
    found, note = read_submission("images", tmp_path / "mine.npy", SHAPES["images"])
    assert np.array_equal(found, images, equal_nan=True)
    assert note == "images of other code"


@pytest.mark.parametrize("form", ["npy", "csv", "txt"])
def test_codes_are_read_from_every_form_also_as_zeros_and_ones(form: str, tmp_path: Path) -> None:
    codes, path = np.sign(pixels()[:, 0, 0] - 0.5), tmp_path / f"mine.{form}"
    for values, note in ((codes, "codes of other code"), (codes > 0, ", 0 read as -1")):
        if form == "npy":
            np.save(path, values)
        else:
            np.savetxt(path, values, fmt="%d", delimiter="," if form == "csv" else " ")
        found, noted = read_submission("codes", path, SHAPES["codes"])
        assert (str(found.dtype), found.tolist()) == ("int8", codes.tolist())
        assert noted.endswith(note)
    np.savetxt(tmp_path / "odd.csv", codes * 0.9, delimiter=",")
    refused(tmp_path / "odd.csv", r"8 rows hold other values \(row 0, row 1, row 2, …\)", "codes")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    def content(name: str, content: bytes, message: str, kind: Kind = "images") -> None:
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, message, kind)

    content("a.npy", b"", "a.npy cannot be read as .npy")
    content("a.npz", b"PK", "a.npz cannot be read as .npz")
    content("a.safetensors", b"x" * 20, "a.safetensors cannot be read")
    np.savez_compressed(tmp_path / "b.npz", images=pixels())
    whole = (tmp_path / "b.npz").read_bytes()
    damaged = whole[:60] + b"\xff" * 20 + whole[80:]
    content("b.npz", damaged, "b.npz cannot be read as .npz: Error -3 while decompress")
    with zipfile.ZipFile(tmp_path / "c.npz", "w") as packed:
        packed.writestr("readme.txt", "see above")
    content("c.npz", (tmp_path / "c.npz").read_bytes(), "c.npz holds no array but bytes")
    np.savez(tmp_path / "d.npz", one=pixels(), two=pixels())
    refused(tmp_path / "d.npz", r"holds 2 arrays \(one, two\); leave one, or call it 'images'")
    head = b"\x93NUMPY\x01\x00\x10\x00{'descr': (((\n   "
    content("d.npy", head, "d.npy cannot be read as .npy", "codes")
    for name, kind in (("bfloat16", torch.bfloat16), ("float8", torch.float8_e4m3fn)):
        tensors = save({"images": torch.zeros(SHAPES["images"]).to(kind)})
        content("e.safetensors", tensors, rf"e.safetensors: .*{name}.*; save it as float32")
    content("a.csv", b"one,two\n1,2\n", "a.csv cannot be read as .csv", "codes")
    content("a.csv", b"1,-1\n", "expected a folder of PNG, or a file that ends in .npy")
    content("a.pt", b"", "expected a file that ends in .npy", "codes")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "DPSH-Tiny-23"}, "not in the trials; did you mean 'DPSH-Tiny-"),
        ({"setting": 1}, r"--setting 1: not in the trials(.|\n)*  0: digits"),
        ({"attack": "dhta"}, "--attack dhta: .* no attack of this program"),
        ({"attack": "a/b"}, "letters, digits and single dashes"),
        ({"victims": ["*-VGG*"]}, "no such hasher; there is DPSH-Tiny-12"),
        ({"path": Path("gone")}, "gone: no such file or folder"),
    ],
)
def test_requests_that_do_not_fit_the_trials_are_refused(
    changes: dict[str, Any], message: str, origin: Origin, trials: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "mine.npy", CODES)
    arguments = {"path": tmp_path / "mine.npy", "kind": "codes", **changes}
    with pytest.raises(ExternalError, match=message):
        request(**arguments).cells(TrialFile.read(trials), origin)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset_fingerprint": "f" * 64}, r"dataset_fingerprint is \w+ … there, f+ … in the tr"),
        ({"draw_seed": 4}, "draw_seed is 0 there, 4 in the trials; export the trials again"),
        ({"targets": [[0]] * 32}, r"targets is .* there, .* in the trials"),
        ({"sha256": "0" * 64}, r"DPSH-Tiny-32 is \w+ … there, 0+ … in the trials"),
    ],
)
def test_other_trials_are_refused_with_the_difference(
    change: dict[str, Any], message: str, origin: Origin, trials: Path
) -> None:
    (record,) = TrialFile.read(trials).settings
    if "sha256" in change:
        sources = [one.model_copy(update=change) for one in record.sources]
        change = {"sources": sources}
    assert matching_trial(record, origin, SOURCE) is origin.trials[0]
    with pytest.raises(ExternalError, match=message):
        matching_trial(record.model_copy(update=change), origin, SOURCE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"trials.json: Invalid JSON: EOF .*\nexport-trials writes such a file"),
        (
            '{"format": 2, "suite": "a", "out": "b", "settings": []}',
            r"format: Input should be 3 \(got 2\)\n.*settings: List should have at",
        ),
        (
            '{"format": 3, "settings": [{"policy": 3}]}',
            r"settings\[0\].policy: Input should be a valid string \(got 3\)",
        ),
    ],
)
def test_faults_of_a_trials_file_are_named_in_its_own_terms(
    content: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "trials.json").write_text(content, encoding="utf-8")
    with pytest.raises(ExternalError, match=message) as caught:
        TrialFile.read(tmp_path)
    assert ": :" not in str(caught.value)


def test_folders_of_others_are_left_alone(
    origin: Origin, trials: Path, cache: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", CODES)
    what = request(tmp_path / "a.npy", kind="codes")
    with pytest.raises(ExternalError, match="holds a run"):
        submit(origin, origin.out, what.cells(TrialFile.read(trials), origin))
    scored(origin, trials, cache, tmp_path / "to", what)
    copied = Path(shutil.copytree(origin.out, tmp_path / "copied"))
    other = Origin.of(copied, cache)
    with pytest.raises(ExternalError, match="holds scores on hashers of"):
        submit(other, tmp_path / "to", what.cells(TrialFile.read(trials), other))


def test_a_hasher_that_is_missing_is_not_trained_here(
    origin: Origin, trials: Path, cache: Path, tmp_path: Path
) -> None:
    copied = Path(shutil.copytree(origin.out, tmp_path / "copied"))
    half = Origin.of(copied, cache)
    np.save(tmp_path / "a.npy", crafted(origin.out, "dhta"))
    what = request(tmp_path / "a.npy", victims=["*"])
    shutil.rmtree(half.store.folder(half.trials[0].hasher("DPSH-Tiny-12").ref))
    made = what.cells(TrialFile.read(trials), half)
    with pytest.raises(ExternalError, match="has not yet done: train DPSH-Tiny-12; run it first"):
        submit(half, tmp_path / "to", made)
    (trial,) = export_trials(half, tmp_path / "t").settings
    assert [source.name for source in trial.sources] == [SOURCE]
    shutil.rmtree(copied / "store" / "train")
    with pytest.raises(ExternalError, match="none of its hashers is trained yet"):
        export_trials(half, tmp_path / "t")
    with pytest.raises(ExternalError, match="DPSH-Tiny-32 is not trained there"):
        what.cells(TrialFile.read(trials), half)


def test_content_that_changes_after_the_plan_fails(
    origin: Origin, trials: Path, cache: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", CODES)
    what = request(tmp_path / "a.npy", kind="codes")
    made = what.cells(TrialFile.read(trials), origin)
    np.save(tmp_path / "a.npy", -CODES.astype(float))
    run_submissions(origin, tmp_path / "to", made, cache)
    (row,) = (one for _, one in load_results(tmp_path / "to").iterrows())
    assert row["status"] == "failed"
    assert "a.npy changed since the plan was made" in row["reason"]


@pytest.mark.parametrize("text", ["8", "x", "-0.1", "8/0", "1/2/3", ""])
def test_a_budget_is_a_fraction(text: str) -> None:
    assert parse_epsilon("8/255") == 8 / 255
    assert parse_epsilon("0.03") == 0.03
    with pytest.raises(ExternalError, match="expected a number from 0 to 1, like 8/255"):
        parse_epsilon(text)
