"""A finished run and the lists are answered without torch, and only while the answer holds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from filelock import FileLock
from rich.cells import cell_len

from hashattack.benchmark.plan.plan import Plan
from hashattack.benchmark.results.finished import Finished, recall, remember, stamps
from hashattack.benchmark.results.manifest import manifest_of
from hashattack.benchmark.running import RunOptions, run_plan
from hashattack.datasets.base import DatasetSpec, RetrievalData
from tests.conftest import ROOT, Recorder, SmokeRun, run_inline, run_process, small_suite

WITHOUT_TORCH = (
    "import sys; sys.modules['torch'] = None; sys.argv[0] = 'run_benchmark.py'\n"
    "import run_benchmark; run_benchmark.main()"
)
ARGUMENTS = {"suite": "small", "only": None, "changes": {"scale": None}}


def ask(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command line where torch cannot be imported."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | variables,
        timeout=60,
        check=False,
    )


@dataclass(frozen=True)
class Done:
    """A finished run: its output folder, the file of its suite, its plan, the cache."""

    out: Path
    suite: Path
    plan: Plan
    cache: Path

    def remember(self) -> None:
        report = [self.out / "report" / "leaderboard.md"]
        sources = stamps([self.suite])
        remember(self.out, ARGUMENTS, sources, self.plan, report=report, leaderboard=["the board"])

    def recall(self, **changes: Any) -> Finished | None:
        return recall(self.out, {**ARGUMENTS, **changes}, self.cache)


@pytest.fixture(scope="module")
def ran(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plan]:
    out = tmp_path_factory.mktemp("done")
    plan, _ = run_inline(small_suite(), cache, out)
    (out / "report").mkdir()
    (out / "report" / "leaderboard.md").write_text("the board", encoding="utf-8")
    return out, plan


@pytest.fixture
def done(ran: tuple[Path, Plan], cache: Path, tmp_path: Path) -> Done:
    out, plan = ran
    suite = tmp_path / "small.yaml"
    suite.write_text("queries: 10", encoding="utf-8")
    made = Done(Path(shutil.copytree(out, tmp_path / "out")), suite, plan, cache)
    made.remember()
    return made


def test_a_finished_run_is_recalled(done: Done) -> None:
    assert done.recall() == Finished(len(done.plan.cells), len(done.plan.jobs), ["the board"])


def touch(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


def other_data(out: Path) -> None:
    """Let the memo be of a data set with other contents."""
    memo = json.loads((out / "finished.json").read_text(encoding="utf-8"))
    memo["values"]["data"][0][-1] = "0" * 64
    (out / "finished.json").write_text(json.dumps(memo), encoding="utf-8")


@pytest.mark.parametrize(
    "damage",
    [
        lambda out: touch(next((out / "store" / "craft").glob("*/tensors.safetensors"))),
        lambda out: next((out / "store" / "score").glob("*/done.json")).unlink(),
        lambda out: shutil.rmtree(next((out / "store" / "encode").iterdir())),
        lambda out: (out / "report" / "leaderboard.md").unlink(),
        lambda out: touch(out / "plan.json"),
        lambda out: (out / "finished.json").unlink(),
        other_data,
        lambda out: touch(out.parent / "small.yaml"),
    ],
    ids=["tensors", "record", "job", "report", "plan", "memo", "data set", "suite file"],
)
def test_a_change_is_noticed(done: Done, damage: Callable[[Path], None]) -> None:
    damage(done.out)
    assert done.recall() is None


def test_other_arguments_and_surroundings_are_another_run(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert done.recall(only=["attack=noise"]) is None
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)
        assert done.recall() is None
    with monkeypatch.context() as patch:
        patch.setitem(os.environ, "TORCH_HOME", str(tmp_path))
        assert done.recall() is None
    with monkeypatch.context() as patch:
        patch.setattr("hashattack.benchmark.store.files.program_digest", lambda: "edited")
        assert done.recall() is None
    with FileLock(done.out / ".lock"):
        assert done.recall() is None, "another process writes to the folder"
    assert done.recall() is not None


def test_a_run_in_the_folder_removes_the_memo(done: Done) -> None:
    run_plan(
        done.plan,
        manifest_of(done.plan),
        out=done.out,
        cache=done.cache,
        options=RunOptions(),
        listeners=[Recorder()],
        echo=lambda _: None,
    )
    assert done.recall() is None


@dataclass(frozen=True, kw_only=True)
class Own(DatasetSpec):
    """A data set of a plug-in."""

    name: ClassVar[str] = "own"

    def load(self, cache: Path) -> RetrievalData:
        raise NotImplementedError


def test_a_data_set_of_a_plug_in_is_loaded_by_the_plan(done: Done) -> None:
    (fingerprint,) = done.plan.specs
    replace(done, plan=replace(done.plan, specs={fingerprint: Own()})).remember()
    assert done.recall() is None


def test_a_finished_run_is_printed_without_torch(smoke: SmokeRun, cache: Path) -> None:
    command = ["run", "--suite", "smoke", "--out", str(smoke.out), "--cache", str(cache)]
    command += ["--slots-per-device", "1"]
    again = ask(*command)
    assert again.returncode == 0, again.stderr
    assert "18 cells, 76 jobs, all done" in again.stdout
    board = smoke.printed.partition("\ndigits: ")[2].partition("\nwrote ")[0]
    assert "DHTA" in board
    assert board in again.stdout, "as it was printed the first time"
    narrow = ask(*command, COLUMNS="80").stdout
    assert "DHTA" in narrow
    assert max(map(cell_len, narrow.partition("\ndigits: ")[2].splitlines()[:20])) <= 80
    for more in (["--verify"], ["--rerun", "stale"], ["--format", "md,csv"]):
        assert "torch" in ask(*command, *more).stderr


def test_lists_are_printed_the_second_time_without_torch(tmp_path: Path) -> None:
    command = ["list", "attacks", "--cache", str(tmp_path)]
    # In its own process: other tests change the path of this one, which is part of the key.
    first = run_process(*command)
    assert first.returncode == 0, first.stderr
    again = ask(*command)
    assert again.returncode == 0, again.stderr
    assert again.stdout == first.stdout
    assert "torch" in ask("list", "targets", "--cache", str(tmp_path)).stderr
