"""The installed package lives under one name, beside Hugging Face's ``datasets``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that holds the installed wheel and another package called ``datasets``."""
    work = tmp_path_factory.mktemp("wheel")
    sources = work / "sources"
    for folder in ("datasets", "targets", "attacks", "benchmark", "reports"):
        shutil.copytree(
            ROOT / folder, sources / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, sources)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(work), str(sources)]
    subprocess.run(build, check=True)
    [wheel] = work.glob("hashattack-*.whl")
    site = work / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True)
    (site / "datasets").mkdir()
    (site / "datasets" / "__init__.py").write_text("NAME = 'the other package'\n")
    return site


def run_in(site: Path, cwd: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_wheel_runs_beside_another_datasets_package(installed: Path, tmp_path: Path) -> None:
    code = (
        "import datasets, hashattack.datasets.base, hashattack.benchmark.names\n"
        "print(datasets.NAME, hashattack.datasets.base.__file__)"
    )
    assert run_in(installed, tmp_path, "-c", code).split() == [
        *("the", "other", "package"),
        str(installed / "hashattack" / "datasets" / "base.py"),
    ]
    command = ("-c", "from hashattack.benchmark.cli.main import main; main()")
    cache = ("--cache", str(tmp_path / "cache"))
    assert "prosgan-eps" in run_in(installed, tmp_path, *command, "list", "attacks", *cache)
    planned = run_in(installed, tmp_path, *command, "plan", "--suite", "smoke", *cache)
    assert "jobs to do" in planned


def test_a_checkout_that_is_not_installed_says_what_to_do() -> None:
    code = "import sys; sys.modules['hashattack'] = None; import run_benchmark"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "hashattack is not installed; run 'make bench'" in done.stderr
