"""The installed package lives under one name, beside Hugging Face's ``datasets``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that holds what is in the wheel and another package called ``datasets``."""
    work = tmp_path_factory.mktemp("wheel")
    sources = work / "sources"
    for folder in ("datasets", "targets", "attacks", "benchmark", "reports"):
        shutil.copytree(
            ROOT / folder, sources / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, sources)
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    command = [sys.executable, "-c", build, str(work)]
    subprocess.run(command, cwd=sources, check=True, capture_output=True)
    [wheel] = work.glob("hashattack-*.whl")
    site = work / "site"
    with zipfile.ZipFile(wheel) as packed:  # of Python files alone: installed by unpacking
        packed.extractall(site)
    (site / "datasets").mkdir()
    (site / "datasets" / "__init__.py").write_text("NAME = 'the other package'\n")
    return site


CODE = """
import sys, datasets, hashattack.datasets.base
from hashattack.benchmark.cli.main import app
print(datasets.NAME)
print(hashattack.datasets.base.__file__)
for command in (["list", "attacks"], ["plan", "--suite", "smoke"]):
    app([*command, "--cache", sys.argv[1]], standalone_mode=False)
"""


def test_a_wheel_runs_beside_another_datasets_package(
    installed: Path, cache: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(cache)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    other, ours, printed = done.stdout.split("\n", 2)
    assert other == "the other package"
    assert ours == str(installed / "hashattack" / "datasets" / "base.py")
    assert "prosgan-eps" in printed
    assert "jobs to do" in printed


def test_a_checkout_that_is_not_installed_says_what_to_do() -> None:
    code = "import sys; sys.modules['hashattack'] = None; import run_benchmark"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "hashattack is not installed; run 'make bench'" in done.stderr
