"""The installed package lives under one name, holds all it needs, and runs outside the checkout."""

from __future__ import annotations

import os
import re
import shutil
import site
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.conftest import ROOT

FOLDERS = ("datasets", "targets", "attacks", "benchmark", "reports")
COPIED = (*FOLDERS, "pyproject.toml", "README.md", "LICENSE")


def build(kind: str, sources: Path, to: Path) -> Path:
    """Build a ``wheel`` or an ``sdist`` without the registry, and return it."""
    code = f"import sys; from setuptools import build_meta as b; b.build_{kind}(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", code, str(to)], cwd=sources, check=True, capture_output=True
    )
    [built] = to.iterdir()
    return built


def contents(wheel: Path) -> Mapping[str, bytes]:
    with zipfile.ZipFile(wheel) as packed:
        return {name: packed.read(name) for name in packed.namelist() if "dist-info" not in name}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a copy of the sources, and the wheel and the sdist that it makes."""
    work = tmp_path_factory.mktemp("built")
    for name in ("sources", "wheel", "sdist"):
        (work / name).mkdir()
    for name in COPIED:
        place = work / "sources" / name
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, place)
    build("sdist", work / "sources", work / "sdist")
    build("wheel", work / "sources", work / "wheel")
    return work


@pytest.fixture(scope="module")
def installed(built: Path) -> Path:
    """Return an environment with the wheel and another package called ``datasets``.

    Beside them it sees the libraries of this one, but no link to the checkout.
    """
    folder = built / "environment"
    venv.create(folder, with_pip=False, symlinks=True)
    [libraries] = {path for path in site.getsitepackages() if Path(path, "torch").is_dir()}
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(f"{libraries}\n")
    (packages / "datasets").mkdir()
    (packages / "datasets" / "__init__.py").write_text("NAME = 'the other package'\n")
    [wheel] = (built / "wheel").iterdir()
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install"]
    subprocess.run(
        [*pip, "--quiet", "--no-deps", "--no-index", "--force-reinstall", str(wheel)],
        check=True,
        capture_output=True,
    )
    return folder


def run_installed(
    installed: Path, program: str, *arguments: str, cwd: Path
) -> subprocess.CompletedProcess[str]:
    keep = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(installed / "bin" / program), *arguments],
        cwd=cwd,
        env=keep,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_a_wheel_holds_every_file_of_the_packages(built: Path) -> None:
    [wheel] = (built / "wheel").iterdir()
    sources = {
        f"hashattack/{path.relative_to(ROOT).as_posix()}": path.read_bytes()
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert contents(wheel) == sources


def test_an_sdist_makes_the_same_wheel(built: Path, tmp_path: Path) -> None:
    [sdist], [wheel] = (built / "sdist").iterdir(), (built / "wheel").iterdir()
    with tarfile.open(sdist) as packed:
        packed.extractall(tmp_path, filter="data")
    [sources] = tmp_path.iterdir()
    (tmp_path / "wheel").mkdir()
    assert contents(build("wheel", sources, tmp_path / "wheel")) == contents(wheel)


def test_it_lives_beside_another_datasets_package(installed: Path, tmp_path: Path) -> None:
    code = "import datasets, hashattack.datasets.base as b; print(datasets.NAME, b.__file__)"
    done = run_installed(installed, "python", "-c", code, cwd=tmp_path)
    [packages] = installed.glob("lib/python*/site-packages")
    file = packages / "hashattack" / "datasets" / "base.py"
    assert done.stdout == f"the other package {file}\n"


def test_installed_it_lists_plans_and_runs(installed: Path, cache: Path, tmp_path: Path) -> None:
    def program(*arguments: str) -> str:
        return run_installed(installed, "run-benchmark", *arguments, cwd=tmp_path).stdout

    assert "prosgan-eps" in program("list", "attacks")
    common = ["--suite", "smoke", "--out", "out", "--cache", str(cache)]
    assert "18 cells" in program("plan", *common)
    only = ["--only", "attack=original,source=DPSH-Tiny-12"]
    short = ["--set", "training.epochs=1", "--set", "pretraining.epochs=1", "--format", "csv,tex"]
    assert "Original" in program("run", *common, *only, *short, "--slots-per-device", "1")
    results = pd.read_csv(tmp_path / "out" / "results.csv")
    assert list(results["status"]) == ["ok"]
    assert (tmp_path / "out" / "report" / "leaderboard.tex").is_file()


def test_a_checkout_that_is_not_installed_says_what_to_do() -> None:
    code = "import sys; sys.modules['hashattack'] = None; import run_benchmark"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "hashattack is not installed; run 'make bench'" in done.stderr


def test_a_container_gets_what_the_package_is_built_from() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = {name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]}
    assert copied == set(COPIED)
    sent = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {line.removeprefix("!") for line in sent if line.startswith("!")} == copied
    assert 'ENTRYPOINT ["run-benchmark"]' in lines


def test_the_citation_is_of_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{cited["version"]}"' in project
    assert f'license = "{cited["license"]}"' in project
    urls = {reference["url"] for reference in cited["references"]}
    published = (ROOT / "attacks" / "published.py").read_text(encoding="utf-8")
    assert urls == set(re.findall(r'url="(https://[^"]+)"', published))
