"""Imports point one way, the installed packages are all listed, and reports need no torch."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

# Each imports only what stands before it; the command line, in benchmark/cli, is on top of all.
PACKAGES = ("datasets", "targets", "attacks", "benchmark", "reports", "benchmark/cli")
TOP_LEVEL = {
    *("benchmark", "attacks", "targets", "datasets", "reports", "tests", "docs"),
    *("pyproject.toml", "run_benchmark.py", "README.md", "Makefile", "LICENSE", "mkdocs.yml"),
    *("CONTRIBUTING.md", "CHANGELOG.md", ".ci", ".gitignore", ".pre-commit-config.yaml"),
    *("docs", "mkdocs.yml", "CITATION.cff", "Dockerfile", ".dockerignore"),
}


def package_of(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    return "benchmark/cli" if parts[:2] == ("benchmark", "cli") else parts[0]


def imported(path: Path) -> Iterator[tuple[str, ...]]:
    """Yield the modules of this program that a file imports, as parts below ``hashattack``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            top, *below = name.split(".")
            assert top not in {*PACKAGES, "tests", "run_benchmark"}, f"{path} imports {name}"
            if top == "hashattack":
                yield tuple(below)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_stands_before_it(package: str) -> None:
    files = [path for path in sorted((ROOT / package).rglob("*.py")) if package_of(path) == package]
    assert files
    for path in files:
        for below in imported(path):
            other = "benchmark/cli" if below[:2] == ("benchmark", "cli") else below[0]
            assert PACKAGES.index(other) <= PACKAGES.index(package), (path, below)


def test_the_packages_of_the_benchmark_do_not_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for path in sorted((ROOT / "benchmark").rglob("*.py")):
        own = path.relative_to(ROOT / "benchmark").with_suffix("").parts[0]
        needs = graph.setdefault(own, set())
        needs |= {below[1] for below in imported(path) if below[0] == "benchmark" and below[1:]}
        needs.discard(own)
    order = list(graphlib.TopologicalSorter(graph).static_order())  # raises at a cycle
    assert order.index("store") < order.index("plan") < order.index("cli")


def test_every_package_is_installed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folders = ("datasets", "targets", "attacks", "benchmark", "reports")
    found = {
        ".".join(("hashattack", *path.parent.relative_to(ROOT).parts))
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
    }
    assert set(listed["tool"]["setuptools"]["packages"]) == found


def test_the_top_level_is_fixed() -> None:
    done = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    assert {line.split("/")[0] for line in done.stdout.splitlines()} <= TOP_LEVEL


def test_reports_import_without_torch() -> None:
    code = (
        "import sys\n"
        "import hashattack.reports.report, hashattack.benchmark.store.store\n"
        "import hashattack.benchmark.results.manifest\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_torchvision_is_imported_only_inside_functions() -> None:
    """It takes almost as long to import as torch, and most processes of a run do without."""
    files = {path for name in PACKAGES for path in (ROOT / name).rglob("*.py")}
    for path in sorted(files):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                assert "torchvision" not in ast.unparse(node), path
