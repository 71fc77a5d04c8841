"""The command line from a suite file to LaTeX: what it writes, resumes and survives."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from filelock import FileLock
from typer.testing import CliRunner

from hashattack.benchmark.cli.main import app
from hashattack.benchmark.columns import DTYPES
from hashattack.benchmark.results.frame import load_results
from hashattack.datasets.files import write_checked
from tests.conftest import TIMES, SmokeRun, run_cli

CELLS, JOBS = 18, 76  # of the smoke suite
METRICS = ["t_map", "t_map_stable", "t_map_8bit", "map", "map_stable", "chance", "chance_map"]
METRICS += ["precision_at_10", "perceptibility", "perceptibility_rms", "linf", "l2"]


def read(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "results.csv")


def again(out: Path, cache: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the suite again in a copied folder, without the figures, which take the longest."""
    places = ("--out", str(out), "--cache", str(cache), "--format", "csv")
    return run_cli("run", "--suite", "smoke", *places, *more)


@pytest.fixture
def copied(smoke: SmokeRun, tmp_path: Path) -> Path:
    return Path(shutil.copytree(smoke.out, tmp_path / "out"))


def test_smoke_fills_every_cell(smoke: SmokeRun) -> None:
    rows = read(smoke.out)
    assert list(rows.columns) == list(DTYPES)
    assert (rows["status"] == "ok").all()
    assert len(rows) == CELLS
    images = rows[rows["budget_class"] != "code"]
    assert images[METRICS].notna().all(axis=None)
    assert rows[METRICS[:2]].ge(0).all(axis=None)
    assert rows[METRICS[:2]].le(1).all(axis=None)
    budgeted = images[images["epsilon"].notna()]
    assert set(images["attack"]) - set(budgeted["attack"]) == {"prosgan"}
    assert (budgeted["linf"] <= budgeted["epsilon"] + 1e-6).all()
    assert (rows["fit_seconds"] > 0).eq(rows["attack"].isin(["prosgan", "prototype-code"])).all()
    assert (images["perceptibility_rms"] >= images["perceptibility"] - 1e-12).all()
    codes = rows[rows["budget_class"] == "code"]
    assert (
        codes[["linf", "l2", "perceptibility", "seconds_per_image", "epsilon"]]
        .isna()
        .all(axis=None)
    )
    original = rows[rows["attack"] == "original"]
    assert (original["t_map"] == original["t_map_8bit"]).all()
    assert (original["linf"] == 0).all()
    assert set(rows["protocol"]) == {"released"}
    assert set(rows["victim_backbone"]) == {"Tiny"}
    roles = rows.dropna(subset="role").groupby("attack")["role"].first().to_dict()
    assert roles == {"original": "no-attack", "prototype-code": "bound", "dhta": "standard"}
    parquet = pd.read_parquet(smoke.out / "results.parquet")
    assert parquet["t_map"].tolist() == rows["t_map"].tolist()


def test_smoke_prints_its_board_and_what_it_wrote(smoke: SmokeRun) -> None:
    board = (smoke.out / "report" / "leaderboard.md").read_text(encoding="utf-8")
    head, _, *rows = (
        [cell.strip(" *<u>/") for cell in line.split("|")]
        for line in board.splitlines()
        if line.startswith("|")
    )
    for row in (dict(zip(head, cells, strict=True)) for cells in rows):
        words = [row[name] for name in ("#", "attack", "mean", "95 %")]
        line = " +".join(map(re.escape, filter(None, words)))
        assert re.search(f"^ *{line} ", smoke.printed, re.MULTILINE), "the same board"
    assert "writing the report, drawing figures" in smoke.printed
    files = (path for path in (smoke.out / "report").rglob("*") if path.is_file())
    written = [path for path in files if not path.name.startswith(".")]
    folder = smoke.out / "report"
    summary = f"wrote results.csv, results.parquet and {len(written)} files in {folder}"
    assert summary in smoke.printed
    assert (smoke.out / "report" / "index.html").as_uri() in smoke.printed
    for name in ("leaderboard.md", "leaderboard.tex", "figures/t_map_against_perceptibility.svg"):
        assert (smoke.out / "report" / name).stat().st_size > 500


def test_a_part_run_again_redoes_nothing_and_keeps_all_rows(copied: Path, cache: Path) -> None:
    before = read(copied)
    done = again(copied, cache, "--verify", "--only", "attack=noise")
    assert done.returncode == 0
    assert re.search(r"^jobs: \d+ cached;", done.stdout, re.MULTILINE)
    pd.testing.assert_frame_equal(read(copied), before)


def test_deleting_a_record_recomputes_that_cell_alone(copied: Path, cache: Path) -> None:
    before = read(copied)
    key = before.loc[3, "job_key"]
    (copied / "store" / "score" / str(key) / "done.json").unlink()
    done = again(copied, cache)
    assert f"jobs: {JOBS - 1} cached, 1 ok" in done.stdout
    pd.testing.assert_frame_equal(read(copied), before)


@pytest.mark.parametrize("stage", ["train", "craft"])
def test_a_flipped_bit_is_found_and_its_job_made_again(
    copied: Path, cache: Path, stage: str
) -> None:
    before = read(copied)
    file = next((copied / "store" / stage).glob("*/tensors.safetensors"))
    content = bytearray(file.read_bytes())
    content[-2] ^= 16
    status = file.stat()
    file.write_bytes(bytes(content))
    more = []
    if stage == "craft":  # a disk that rots leaves the time of change as it was
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        more = ["--verify"]
    done = again(copied, cache, *more)
    assert done.returncode == 0
    assert "damaged artifact was moved" in done.stderr
    # The same bytes came back, so what stands on them is still current.
    assert f"jobs: {JOBS - 1} cached, 1 ok" in done.stdout
    pd.testing.assert_frame_equal(read(copied).drop(columns=TIMES), before.drop(columns=TIMES))


@pytest.mark.usefixtures("no_figures")
def test_report_alone_writes_the_same_files(copied: Path, smoke: SmokeRun) -> None:
    shutil.rmtree(copied / "report")
    assert run_cli("report", "--out", str(copied)).returncode == 0
    for name in ("leaderboard.md", "leaderboard.tex"):
        assert (copied / "report" / name).read_bytes() == (smoke.out / "report" / name).read_bytes()


def test_plan_says_what_is_done_and_what_is_not(
    smoke: SmokeRun, cache: Path, tmp_path: Path
) -> None:
    def planned(out: Path) -> str:
        arguments = ["plan", "-s", "smoke", "-o", str(out), "--cache", str(cache)]
        return CliRunner().invoke(app, arguments).stdout

    assert "everything is done" in planned(smoke.out)
    assert f"{JOBS} jobs to do: " in planned(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_second_run_in_the_folder_is_refused_with_its_holder(copied: Path, cache: Path) -> None:
    with FileLock(copied / ".lock"):
        write_checked(copied / ".holder.json", {"pid": os.getpid()})
        done = again(copied, cache)
    assert done.returncode == 2
    assert f"pid {os.getpid()}" in done.stderr
    assert "choose another --out" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--suite", "dmo"], "unknown suite 'dmo'; did you mean 'demo'?"),
        (["run", "-s", "smoke", "--only", "attack=x"], "matches no cell"),
        (["report", "--out", "/nowhere/at/all"], "holds no run"),
        (["list", "attacks", "--protocol", "papr"], "did you mean 'paper'?"),
        (["list", "attack"], "unknown kind 'attack'; did you mean 'attacks'?"),
    ],
)
def test_usage_errors_are_one_message_and_code_2(
    arguments: list[str], message: str, cache: Path, tmp_path: Path
) -> None:
    if arguments[0] == "run":
        arguments = [*arguments, "--out", str(tmp_path / "out"), "--cache", str(cache)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert message in done.stderr


@pytest.mark.parametrize("kind", ["attacks", "targets", "datasets", "suites"])
def test_lists_name_what_there_is(kind: str, cache: Path) -> None:
    done = CliRunner().invoke(app, ["list", kind, "--cache", str(cache)])
    assert done.exit_code == 0
    wanted = {"attacks": "dhta-ifgsm", "targets": "ResNet18", "datasets": "digits"}
    assert wanted.get(kind, "smoke") in done.stdout


def test_results_have_the_same_types_whatever_is_in_them(smoke: SmokeRun) -> None:
    frame = load_results(smoke.out)
    assert str(frame["t_map"].dtype) == "float64"
    assert str(frame["source_bits"].dtype) == "Int64"
