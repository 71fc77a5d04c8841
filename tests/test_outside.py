"""What other code made becomes rows: the same numbers as for the same images made here."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from hashattack.benchmark.external.errors import OutsideError
from hashattack.benchmark.external.export import export_trials
from hashattack.benchmark.external.trial_file import TrialFile
from hashattack.benchmark.external.trials import Origin
from hashattack.benchmark.results.manifest import read_manifest
from hashattack.benchmark.results.stored_suite import stored_suite
from hashattack.benchmark.store.store import JobRef
from hashattack.benchmark.suites.sources import SuiteError
from hashattack.reports.results import load_results
from tests.conftest import (
    SMALL_DIGITS,
    SmokeRun,
    run_cli,
    run_inline,
    small_suite,
)
from tests.handing import (
    CODES,
    SOURCE,
    asked,
    crafted,
    foreign_hasher,
    own_row,
    scored,
    write_png,
)

METRICS = ["t_map", "t_map_stable", "map", "map_stable", "chance", "chance_map", "precision_at_10"]


DISTORTIONS = ["t_map_8bit", "perceptibility", "perceptibility_rms", "linf", "l2"]


def test_trials_say_what_an_attack_of_our_own_sees(origin: Origin, trials: Path) -> None:
    (one,) = TrialFile.read(trials).settings
    data = origin.trials[0].graph.data
    assert one.queries is not None
    rows = [
        np.asarray(Image.open(trials / one.queries / one.image.format(row=row)))
        for row in range(one.n_queries)
    ]
    assert (np.stack(rows).transpose(0, 3, 1, 2) == data.query.images.read(np.arange(32))).all()
    jobs = read_manifest(origin.out)["jobs"]
    (draw,) = (JobRef("draw", key) for key, job in jobs.items() if job["stage"] == "draw")
    drawn = origin.store.arrays(draw)["targets"]
    assert [np.flatnonzero(row).tolist() for row in drawn] == one.targets
    table = pd.read_csv(trials / "targets.csv")
    assert table["image"].tolist()[:2] == ["00000.png", "00001.png"]
    assert table["target"][0] == "; ".join(one.classes[number] for number in one.targets[0])
    assert [source.name for source in one.sources] == ["DPSH-Tiny-12", SOURCE]
    hasher = (trials / one.sources[1].hasher).read_bytes()
    assert hashlib.sha256(hasher).hexdigest() == one.sources[1].sha256
    assert (np.load(trials / one.labels["database"]) == data.database.labels).all()
    # Nothing of the queries' own labels.
    written = {str(path.relative_to(trials)) for path in trials.rglob("*") if path.is_file()}
    queries = {f"queries/{row:05d}.png" for row in range(32)}
    labels = {"labels/train.npy", "labels/database.npy"}
    networks = {source.hasher for source in one.sources}
    codes = {file for source in one.sources for file in source.codes.values()}
    assert (len(networks), len(codes)) == (2, 4)
    assert written == {"trials.json", "targets.csv", *labels, *queries, *networks, *codes}


def test_an_exported_folder_is_all_that_other_code_needs(
    origin: Origin, trials: Path, tmp_path: Path
) -> None:
    sent = Path(shutil.copytree(trials, tmp_path / "sent"))
    hasher = foreign_hasher(sent, SOURCE)
    (one,) = TrialFile.read(sent).settings
    assert one.queries is not None
    files = [sent / one.queries / one.image.format(row=row) for row in range(one.n_queries)]
    pixels = np.stack([np.asarray(Image.open(file)) for file in files]).transpose(0, 3, 1, 2)
    codes = torch.where(hasher(torch.from_numpy(pixels) / 255) >= 0, 1, -1)
    cells = read_manifest(origin.out)["cells"]
    (key,) = (
        cell["jobs"]["hash"]
        for cell in cells
        if (cell["row"]["attack"], cell["row"]["victim"]) == ("original", SOURCE)
    )
    assert (codes.numpy() == origin.store.arrays(JobRef("hash", key))["codes"]).all()


def test_an_export_without_hashers_says_where_they_lie(origin: Origin, tmp_path: Path) -> None:
    (one,) = export_trials(origin, tmp_path, hashers=False).settings
    assert not (tmp_path / "hashers").exists()
    for source in one.sources:
        file = (tmp_path / source.hasher).read_bytes()
        assert hashlib.sha256(file).hexdigest() == source.sha256


def test_trials_of_an_earlier_version_are_scored(
    origin: Origin, trials: Path, tmp_path: Path
) -> None:
    content = json.loads((trials / "trials.json").read_bytes()) | {"format": 1}
    for source in content["settings"][0]["sources"]:
        del source["trunk"]
    (tmp_path / "trials.json").write_text(json.dumps(content), encoding="utf-8")
    np.save(tmp_path / "mine.npy", CODES)
    what = asked(tmp_path / "mine.npy", kind="codes")
    (one,) = what.submissions(TrialFile.read(tmp_path), origin)
    assert one.victims == [SOURCE]


def test_float_images_get_the_row_they_would_have_had_here(
    origin: Origin, trials: Path, cache: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "mine.npy", crafted(origin.out, "dhta"))
    what = asked(tmp_path / "mine.npy", victims=("*",))
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
    with pytest.raises(SuiteError, match="no suite makes again"):
        stored_suite(tmp_path / "to")


def test_png_costs_what_8_bits_cost(
    origin: Origin, trials: Path, cache: Path, tmp_path: Path
) -> None:
    folder = write_png(crafted(origin.out, "dhta"), tmp_path / "mine")
    row = scored(origin, trials, cache, tmp_path / "to", asked(folder)).iloc[0]
    assert row["t_map"] == row["t_map_8bit"] == own_row(origin.out, "dhta")["t_map_8bit"]
    assert row["status"] == "ok"  # within 8/255: the clean query has 8 bits, too
    assert "rounded to 8 bits" in row["notes"]
    images = np.stack([np.asarray(Image.open(one)) for one in sorted(folder.iterdir())])
    np.savez(tmp_path / "mine.npz", images=images.transpose(0, 3, 1, 2), other=np.zeros(3))
    array = scored(origin, trials, cache, tmp_path / "b", asked(tmp_path / "mine.npz")).iloc[0]
    same = [*METRICS, *DISTORTIONS, "notes"]
    assert array[same].tolist() == row[same].tolist()


def test_half_precision_is_noted_whatever_becomes_of_it(
    origin: Origin, trials: Path, cache: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "half.npy", crafted(origin.out, "dhta").astype(np.float16))
    for name, epsilon, status in (("tight", 8 / 255, "invalid"), ("wide", 8.1 / 255, "ok")):
        what = asked(tmp_path / "half.npy", epsilon=epsilon)
        row = scored(origin, trials, cache, tmp_path / name, what).iloc[0]
        assert row["status"] == status
        assert row["notes"].endswith("in half precision, which rounds a pixel by up to 0.062/255")


def test_the_order_of_bytes_and_axes_in_a_file_is_its_own_affair(
    origin: Origin, trials: Path, cache: Path, tmp_path: Path
) -> None:
    images = np.asfortranarray(crafted(origin.out, "dhta").astype(">f4"))
    np.save(tmp_path / "mine.npy", images)
    row = scored(origin, trials, cache, tmp_path / "to", asked(tmp_path / "mine.npy")).iloc[0]
    assert row[METRICS].tolist() == own_row(origin.out, "dhta")[METRICS].tolist()


def test_exported_queries_handed_back_are_unchanged(
    origin: Origin, trials: Path, cache: Path, tmp_path: Path
) -> None:
    what = asked(trials / "queries", epsilon=None)
    row = scored(origin, trials, cache, tmp_path / "to", what).iloc[0]
    assert row["t_map"] == own_row(origin.out, "original")["t_map"]
    assert row[["linf", "l2", "budget_class"]].tolist() == [0, 0, "unbounded"]


@pytest.mark.parametrize("form", ["npy", "csv", "txt"])
def test_codes_get_the_row_they_would_have_had_here(
    form: str, origin: Origin, trials: Path, cache: Path, tmp_path: Path
) -> None:
    codes, path = crafted(origin.out, "anchor-code"), tmp_path / f"mine.{form}"
    if form == "npy":
        np.save(path, codes)
    else:  # as zeros and ones
        np.savetxt(path, codes > 0, fmt="%d", delimiter="," if form == "csv" else " ")
    what = asked(path, kind="codes", epsilon=None, victims=("*",))
    skipped, row = (
        one for _, one in scored(origin, trials, cache, tmp_path / "to", what).iterrows()
    )
    own = own_row(origin.out, "anchor-code")
    assert row[METRICS].tolist() == own[METRICS].tolist()
    assert row["budget_class"] == own["budget_class"] == "code"
    assert row[DISTORTIONS].isna().all()
    assert ("0 read as -1" in row["notes"]) == (form != "npy")
    assert skipped["status"] == "skipped"
    assert "a 32-bit code cannot query a 12-bit database" in skipped["reason"]


def test_the_command_line_ranks_it_beside_the_run_and_tells_what_is_invalid(
    smoke: SmokeRun, cache: Path, tmp_path: Path
) -> None:
    to, common = tmp_path / "to", ["--out", str(smoke.out), "--cache", str(cache)]
    folder = tmp_path / "trials"
    done = run_cli("export-trials", *common, "--to", str(folder), "--only", f"source={SOURCE}")
    assert done.returncode == 0, done.stderr
    assert "0: digits, released, frequent targets, draw seed 0" in done.stdout
    assert "DPSH-Tiny-12" not in (folder / "trials.json").read_text(encoding="utf-8")
    np.save(tmp_path / "codes.npy", crafted(smoke.out, "anchor-code"))
    images = crafted(smoke.out, "dhta")
    images[3] = np.clip(images[3] + 0.1, 0, 1)
    np.save(tmp_path / "images.npy", images)
    here = ["--trials", str(folder / "trials.json"), *common, "--source", SOURCE, "--to", str(to)]
    done = run_cli("score", *here, "--codes", str(tmp_path / "codes.npy"), "--attack", "coded")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("code only ")]
    assert any(" coded [on 1 of 2 targets] " in line for line in lines)
    assert any(" Anchor code " in line for line in lines)
    arguments = ["--images", str(tmp_path / "images.npy"), "--attack", "mine"]
    done = run_cli("score", *here, *arguments, "--epsilon", "8/255", "--title", "My attack")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "exceeds the declared budget of 8.0000/255 by 0.1" in done.stdout
    rows = pd.read_csv(to / "results.csv").set_index("attack")
    assert rows["status"].to_dict() == {"coded": "ok", "mine": "invalid"}
    assert rows["linf"]["mine"] == pytest.approx(8 / 255 + 0.1, abs=1e-3)
    merged = pd.read_csv(to / "report" / "results.csv")
    assert len(merged) == len(load_results(smoke.out)) + 2
    assert "My attack" in (to / "report" / "index.html").read_text(encoding="utf-8")
    report = (to / "results.csv").read_bytes(), (to / "report" / "index.html").stat()
    np.save(tmp_path / "images.npy", crafted(smoke.out, "dhta"))
    again = ["--images", str(tmp_path / "images.npy"), "--attack", "better", "--no-report"]
    done = run_cli("score", *here, *again, "--epsilon", "8/255")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"ok: better against {SOURCE}: t-MAP " in done.stdout
    assert "of earlier calls, without a result either: My attack\n" in done.stdout
    assert "exceeds" not in done.stdout
    left = (to / "results.csv").read_bytes(), (to / "report" / "index.html").stat()
    assert left == report
    assert load_results(to)["attack"].tolist() == ["coded", "mine", "better"]
    done = run_cli("score", *here, *arguments, "--codes", str(tmp_path / "codes.npy"))
    assert (done.returncode, "give either --images or --codes" in done.stderr) == (2, True)


def test_several_settings_take_a_file_each(cache: Path, tmp_path: Path) -> None:
    run_inline(small_suite(seeds=2, attacks=["original"]), cache, tmp_path / "run")
    origin = Origin.of(tmp_path / "run", cache)
    written = export_trials(origin, tmp_path / "trials")
    assert [one.draw_seed for one in written.settings] == [0, 1]
    assert written.settings[0].targets != written.settings[1].targets
    (tmp_path / "mine").mkdir()
    np.save(tmp_path / "mine" / "0.npy", np.ones((10, 12)))
    what = {"kind": "codes", "source": "DPSH-Tiny-12"}
    path = tmp_path / "mine"
    with pytest.raises(OutsideError, match=r"have 2 settings; name one with (.|\n)*  1: d"):
        asked(path, **what).submissions(written, origin)
    (one,) = asked(path / "0.npy", setting=1, **what).submissions(written, origin)
    assert one.trial["draw_seed"] == 1
    np.save(path / "1.npy", np.ones((10, 12)))
    rows = scored(origin, tmp_path / "trials", cache, tmp_path / "to", asked(path, **what))
    assert rows["draw_seed"].tolist() == [0, 1]
    assert rows["chance"].nunique() == 2  # each against its own target labels


def test_data_sets_are_exported_apart(cache: Path, tmp_path: Path) -> None:
    data = [{"dataset": "digits", "params": {**SMALL_DIGITS, "n_query": n}} for n in (11, 12)]
    run_inline(small_suite(datasets=data, attacks=["original"]), cache, tmp_path / "run")
    origin = Origin.of(tmp_path / "run", cache)
    written = export_trials(origin, tmp_path / "trials", images=True)
    for one, trial in zip(written.settings, origin.trials, strict=True):
        assert one.queries == f"queries/digits-{one.dataset_fingerprint[:8]}"
        last = np.asarray(Image.open(tmp_path / "trials" / one.queries / "00009.png"))
        wanted = trial.graph.data.query.images.read(np.array([9]))[0]
        assert (last.transpose(2, 0, 1) == wanted).all()
        assert len(list((tmp_path / "trials" / one.queries).iterdir())) == 10
    assert len({one.queries for one in written.settings}) == 2
    fingerprint = written.settings[1].dataset_fingerprint
    only = [f"dataset_fingerprint={fingerprint}"]
    assert export_trials(origin, tmp_path / "one", only).settings[0].labels["train"] == (
        "labels/train.npy"
    )
    with pytest.raises(OutsideError, match=r"matches no trained hasher .* and no attack"):
        export_trials(origin, tmp_path / "one", ["attack=original"])


def test_a_folder_keeps_what_was_scored_and_replaces_what_is_scored_again(
    origin: Origin, trials: Path, cache: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", CODES)
    np.save(tmp_path / "b.npy", crafted(origin.out, "anchor-code"))
    to, coded = tmp_path / "to", {"kind": "codes", "epsilon": None}
    scored(origin, trials, cache, to, asked(tmp_path / "a.npy", attack="one", **coded))
    rows = scored(origin, trials, cache, to, asked(tmp_path / "b.npy", attack="two", **coded))
    assert rows["attack"].tolist() == ["one", "two"]
    rows = scored(origin, trials, cache, to, asked(tmp_path / "b.npy", attack="one", **coded))
    assert rows["attack"].tolist() == ["one", "two"]
    assert rows["t_map"].nunique() == 1
    assert (rows["status"] == "ok").all()
