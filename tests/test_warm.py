"""Asking again: a finished run and the lists answer without torch, and only while that is right."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from hashattack.benchmark.provenance import program_digest
from hashattack.benchmark.store.kept import kept
from tests.conftest import ROOT, SmokeRun, run_cli

WITHOUT_TORCH = (
    "import sys; sys.modules['torch'] = None; sys.argv[0] = 'run_benchmark.py'\n"
    "import run_benchmark; run_benchmark.main()"
)


def ask(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line where torch cannot be imported."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )


@pytest.fixture
def copied(smoke: SmokeRun, tmp_path: Path) -> Path:
    return Path(shutil.copytree(smoke.out, tmp_path / "out"))


def warm(out: Path, cache: Path, *more: str) -> bool:
    """Return whether the smoke suite's run is answered without torch."""
    asked = ["run", "--suite", "smoke", "--out", str(out), "--cache", str(cache), *more]
    done = ask(*asked)
    if "torch" in done.stderr:
        return False
    assert done.returncode == 0, done.stderr
    assert "18 cells, 76 jobs, all done" in done.stdout
    assert json.loads((out / "finished.json").read_text())["leaderboard"] in done.stdout
    return True


def test_a_finished_run_is_told_without_torch(copied: Path, cache: Path, smoke: SmokeRun) -> None:
    assert warm(copied, cache)
    memo = json.loads((copied / "finished.json").read_text(encoding="utf-8"))
    assert memo["leaderboard"] in smoke.printed, "as it was told the first time"


def test_a_run_may_leave_the_page_and_its_figures_out(copied: Path, cache: Path) -> None:
    shutil.rmtree(copied / "report")
    asked = ["run", "--suite", "smoke", "--out", str(copied), "--cache", str(cache)]
    done = run_cli(*asked, "--format", "md,csv")
    assert done.returncode == 0, done.stderr
    assert "figures" not in done.stdout
    assert [path.name for path in (copied / "report").glob("[!.]*")] == ["leaderboard.md"]
    assert ask(*asked, "--format", "md,csv").returncode == 0
    assert "torch" in ask(*asked).stderr, "the page is another question"


def touch(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


def forget_data(memo: Path) -> None:
    """Let the memo be of a data set with other contents."""
    known = json.loads(memo.read_text(encoding="utf-8"))
    known["data"][0]["fingerprint"] = "0" * 64
    memo.write_text(json.dumps(known), encoding="utf-8")


@pytest.mark.parametrize(
    "damage",
    [
        lambda out: touch(next((out / "store" / "craft").glob("*/tensors.safetensors"))),
        lambda out: next((out / "store" / "score").glob("*/done.json")).unlink(),
        lambda out: shutil.rmtree(next((out / "store" / "fit").iterdir())),
        lambda out: (out / "report" / "leaderboard.tex").unlink(),
        lambda out: (out / "finished.json").unlink(),
        lambda out: forget_data(out / "finished.json"),
    ],
    ids=["an artifact", "a record", "a job", "a report", "the memo", "the data set"],
)
def test_what_changed_in_the_folder_is_looked_at(
    copied: Path, cache: Path, damage: Callable[[Path], None]
) -> None:
    damage(copied)
    assert not warm(copied, cache)


@pytest.mark.parametrize(
    "more",
    [["--seeds", "2"], ["--only", "attack=noise"], ["--rerun", "stale"], ["--verify"]],
    ids=lambda more: more[0],
)
def test_another_question_is_thought_about(copied: Path, cache: Path, more: list[str]) -> None:
    assert not warm(copied, cache, *more)


def test_another_command_in_the_folder_leaves_no_memory_of_the_first(
    copied: Path, cache: Path
) -> None:
    asked = ["--suite", "smoke", "--only", "attack=original", "--out", str(copied)]
    done = run_cli("run", *asked, "--cache", str(cache))
    assert done.returncode == 0, done.stderr
    assert not warm(copied, cache)


def test_an_edited_suite_file_is_noticed(tmp_path: Path, cache: Path) -> None:
    suite = yaml.safe_load((ROOT / "benchmark/suites/smoke.yaml").read_text(encoding="utf-8"))
    suite["attacks"] = ["original", "noise"]
    del suite["params"]
    file, out = tmp_path / "own.yaml", tmp_path / "out"
    file.write_text(yaml.safe_dump(suite), encoding="utf-8")
    asked = ["run", "--suite", str(file), "--out", str(out), "--cache", str(cache)]
    command = [sys.executable, str(ROOT / "run_benchmark.py"), *asked]
    subprocess.run(command, capture_output=True, cwd=ROOT, timeout=300, check=True)
    assert ask(*asked).returncode == 0
    file.write_text(yaml.safe_dump({**suite, "queries": 12}), encoding="utf-8")
    assert "torch" in ask(*asked).stderr


@pytest.mark.parametrize("kind", ["attacks", "targets", "datasets", "suites"])
def test_lists_are_kept_until_the_program_changes(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def make() -> list[str]:
        made.append(kind)
        return [kind]

    for _ in range(2):
        assert kept(tmp_path, kind, make) == [kind]
    assert len(made) == 1
    monkeypatch.setattr(
        "hashattack.benchmark.store.kept.program_digest", lambda: program_digest() + "edited"
    )
    assert kept(tmp_path, kind, make) == [kind]
    assert len(made) == 2


def test_list_answers_the_second_time_without_torch(tmp_path: Path) -> None:
    asked = ["list", "attacks", "--cache", str(tmp_path)]
    command = [sys.executable, str(ROOT / "run_benchmark.py"), *asked]
    first = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=True
    )
    assert "torch" in ask("list", "targets", "--cache", str(tmp_path)).stderr
    again = ask(*asked)
    assert again.returncode == 0, again.stderr
    assert again.stdout == first.stdout
