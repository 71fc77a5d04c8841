"""The arrows between the rooms run one way, and reports need no torch."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

ROOMS = ("datasets", "targets", "attacks", "benchmark", "reports", "run_benchmark")
TOP_LEVEL = {
    *("benchmark", "attacks", "targets", "datasets", "reports", "tests"),
    *("pyproject.toml", "run_benchmark.py", "README.md", "Makefile", "LICENSE"),
    *("CONTRIBUTING.md", "CHANGELOG.md", ".ci", ".gitignore", ".pre-commit-config.yaml"),
}


def imported_rooms(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
    return {name.split(".")[0] for name in names} & {*ROOMS, "tests"}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_stands_to_its_left(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py")) or [ROOT / f"{room}.py"]
    allowed = set(ROOMS[: ROOMS.index(room) + 1])
    for path in files:
        assert imported_rooms(path) <= allowed, path


def room_within(module: str) -> str:
    """Return the package or module right below ``benchmark``."""
    return module.split(".")[1]


def test_the_rooms_of_the_benchmark_have_an_order() -> None:
    stands_on: dict[str, set[str]] = {}
    for path in sorted((ROOT / "benchmark").rglob("*.py")):
        own = room_within(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("benchmark"):
                named = [f"{node.module}.{alias.name}" for alias in node.names]
                stands_on.setdefault(own, set()).update(room_within(name) for name in named)
    graph = {room: others - {room} for room, others in stands_on.items()}
    order = list(graphlib.TopologicalSorter(graph).static_order())  # raises at a cycle
    assert order.index("storage") < order.index("planning") < order.index("commands")


def test_the_top_level_is_fixed() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    assert {line.split("/")[0] for line in listed.stdout.splitlines()} <= TOP_LEVEL


def test_reports_import_without_torch() -> None:
    code = (
        "import sys, reports.report, benchmark.storage.store, benchmark.results.manifest\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
