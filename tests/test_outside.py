"""What other code made becomes rows: the same numbers as for the same images made here."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from PIL import Image

from benchmark.outside.asking import Asked, parse_epsilon
from benchmark.outside.errors import OutsideError
from benchmark.outside.export import export_trials
from benchmark.outside.submissions import submit
from benchmark.outside.trial_file import TrialFile
from benchmark.outside.trials import Origin
from benchmark.results.manifest import read_manifest, write_manifest
from benchmark.results.stored_suite import stored_suite
from benchmark.storage.store import JobRef, Store
from benchmark.suites.sources import SuiteError
from reports.results import load_results
from tests.conftest import (
    SMALL_DIGITS,
    InlineEngine,
    SmokeRun,
    run_cli,
    run_inline,
    run_jobs,
    small_suite,
)

SOURCE = "DPSH-Tiny-32"
METRICS = ["t_map", "t_map_stable", "map", "map_stable", "chance", "chance_map", "precision_at_10"]
DISTORTIONS = ["t_map_8bit", "perceptibility", "perceptibility_rms", "linf", "l2"]
Arrays = npt.NDArray[Any]


@pytest.fixture(scope="module")
def origin(smoke: SmokeRun, cache: Path) -> Origin:
    return Origin.of(smoke.out, cache)


@pytest.fixture(scope="module")
def trials(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("trials")
    export_trials(origin, to, images=True)
    return to


def crafted(out: Path, attack: str) -> Arrays:
    """Return the images, or the codes, that an attack of a run made on the source."""
    for cell in read_manifest(out)["cells"]:
        if (cell["row"]["attack"], cell["row"]["source"]) == (attack, SOURCE):
            arrays = Store(out / "store").arrays(JobRef("craft", cell["jobs"]["craft"]))
            return next(iter(arrays.values()))
    raise AssertionError(attack)


def own_row(out: Path, attack: str, victim: str = SOURCE) -> pd.Series[Any]:
    rows = load_results(out)
    return rows[(rows["attack"] == attack) & (rows["victim"] == victim)].iloc[0]


def asked(path: Path, **changes: Any) -> Asked:
    values: dict[str, Any] = {
        **{"kind": "images", "path": path, "attack": "theirs", "title": "Theirs"},
        **{"source": SOURCE, "epsilon": 8 / 255, "victims": (), "setting": None},
    }
    return Asked(**{**values, **changes})


def scored(origin: Origin, trials: Path, cache: Path, to: Path, what: Asked) -> pd.DataFrame:
    """Score in this process and return the rows of the folder."""
    whole, plan = submit(origin, to, what.submissions(TrialFile.read(trials), origin))
    write_manifest(whole, to)
    run_jobs(plan.jobs, to, InlineEngine(), None, cache)
    return load_results(to)


def write_png(images: Arrays, folder: Path) -> Path:
    folder.mkdir()
    for row, image in enumerate(np.rint(255 * images).astype(np.uint8)):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{row:05d}.png")
    return folder


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
    hasher = (origin.out / one.sources[1].hasher).read_bytes()
    assert hashlib.sha256(hasher).hexdigest() == one.sources[1].sha256
    assert (np.load(trials / one.labels["database"]) == data.database.labels).all()
    # Nothing of the queries' own labels.
    written = {str(path.relative_to(trials)) for path in trials.rglob("*") if path.is_file()}
    queries = {f"queries/{row:05d}.png" for row in range(32)}
    labels = {"labels/train.npy", "labels/database.npy"}
    assert written == {"trials.json", "targets.csv", *labels, *queries}


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
    lines = [line for line in done.stdout.splitlines() if line.startswith("| code only")]
    assert any("| coded " in line for line in lines)
    assert any("| Anchor code " in line for line in lines)
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
    done = run_cli("score", *here, *arguments, "--codes", str(tmp_path / "codes.npy"))
    assert (done.returncode, "give either --images or --codes" in done.stderr) == (2, True)


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


CODES = np.ones((32, 32), dtype=np.int8)


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
