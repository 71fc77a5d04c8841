"""Attacks whose library is absent, broken, or there in another version: planned, skipped, keyed."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib import metadata, util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from hashattack.attacks.adapters.foolbox_adapter import FoolboxFGSM
from hashattack.attacks.base import Part
from hashattack.attacks.libraries import Library, LibraryError, extra
from hashattack.attacks.protocols import EPSILON
from hashattack.benchmark import provenance
from hashattack.benchmark.cli.lists import attacks
from hashattack.benchmark.engines.dask import fault, probe
from hashattack.benchmark.plan.plan import make_plan
from hashattack.benchmark.registry import registry
from hashattack.benchmark.results.frame import load_results
from hashattack.benchmark.suites.sources import SuiteError
from hashattack.benchmark.terminal import text_of
from hashattack.reports.report import write_report
from tests.conftest import run_inline, small_suite, untrained
from tests.test_adapters import some_batch

IDS = sorted(name for name in registry().attacks if name.startswith(("torchattacks-", "foolbox-")))


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let neither library be found."""
    real = util.find_spec
    gone = ("torchattacks", "foolbox")
    monkeypatch.setattr(
        util, "find_spec", lambda name, *more: None if name in gone else real(name, *more)
    )


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return what makes both libraries seem installed, in a version, without importing them."""
    real, real_version = util.find_spec, metadata.version
    ours = ("torchattacks", "foolbox")

    def install(version: str) -> None:
        there: Any = SimpleNamespace()
        monkeypatch.setattr(
            util, "find_spec", lambda name, *more: there if name in ours else real(name, *more)
        )
        monkeypatch.setattr(
            metadata, "version", lambda name: version if name in ours else real_version(name)
        )

    return install


@pytest.mark.usefixtures("absent")
def test_without_the_library_a_cell_is_skipped_and_says_what_to_install(
    cache: Path, tmp_path: Path
) -> None:
    plan, _ = run_inline(small_suite(attacks=["original", *IDS]), cache, tmp_path)
    assert not any("attack" in job.label for job in plan.jobs.values())
    rows = load_results(tmp_path).set_index("attack")
    assert rows.loc["original", "status"] == "ok"
    assert len(IDS) == 8
    for name in IDS:
        library = name.split("-")[0]
        wanted = f"needs {library}: pip install 'hashattack[{library}]'"
        assert (rows.loc[name, "status"], rows.loc[name, "reason"]) == ("skipped", wanted)
    with pytest.raises(SuiteError, match="no such hyper-parameter"):
        make_plan(small_suite(attacks=[{"attack": IDS[0], "params": {"stpes": 3}}]), cache)


@pytest.mark.usefixtures("absent")
def test_where_all_is_skipped_the_report_says_what_to_type(cache: Path, tmp_path: Path) -> None:
    run_inline(small_suite(attacks=["foolbox-fgsm"]), cache, tmp_path)
    report = write_report([tmp_path], formats=["md"])
    shown = text_of(report.leaderboard)
    assert "skipped: foolbox FGSM on DPSH-Tiny-12" in shown
    assert "pip install 'hashattack[foolbox]'" in shown


@pytest.mark.usefixtures("absent")
def test_without_the_library_the_list_has_its_attacks(tmp_path: Path) -> None:
    listed = {one.name: one for one in attacks("released")}
    assert listed["torchattacks-mifgsm"].parameters["decay"] == "1"
    assert "(needs foolbox: pip install" in listed["foolbox-fgsm"].about
    assert "needs" not in listed["dhta"].about


@pytest.mark.usefixtures("absent")
def test_without_the_library_crafting_says_so() -> None:
    with pytest.raises(LibraryError, match="needs foolbox: pip install"):
        FoolboxFGSM().perturb(some_batch(), untrained(), EPSILON)


def test_planning_imports_no_library(
    installed: Callable[[str], None], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed("9.9")
    real = importlib.import_module

    def careful(name: str, package: str | None = None) -> Any:
        assert name not in ("torchattacks", "foolbox")
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", careful)
    plan = make_plan(small_suite(attacks=IDS), cache)
    assert len([job for job in plan.jobs.values() if job.stage == "craft"]) == len(IDS)


def test_another_version_of_the_library_crafts_anew_and_nothing_else(
    installed: Callable[[str], None], cache: Path
) -> None:
    suite = small_suite(attacks=["original", "dhta", "foolbox-fgsm"])
    keys = []
    for version in ("3.3.4", "3.3.5"):
        installed(version)
        plan = make_plan(suite, cache)
        keys.append({key: job.label for key, job in plan.jobs.items()})
    new = {label for key, label in keys[1].items() if key not in keys[0]}
    assert new
    assert all("foolbox" in label for label in new)


def test_a_finished_run_is_thought_about_again_once_a_library_was_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    program_digest = provenance.program_digest.__wrapped__  # not the value of this process
    before = program_digest()
    assert program_digest() == before
    (tmp_path / "anything-1.0.dist-info").mkdir()
    assert program_digest() != before


def test_a_worker_without_the_library_is_not_used(
    installed: Callable[[str], None], tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("here")
    installed("3.5.1")
    same = probe(str(token))
    assert fault(same, "here", tmp_path, cpu_only=True) is None
    other = {**same, "versions": {**same["versions"], "torchattacks": "none"}}
    why = fault(other, "here", tmp_path, cpu_only=True)
    versions = "of torchattacks (none) than this process (torchattacks 3.5.1)"
    assert why == f"it has another version {versions}"
    silent = {n: v for n, v in same["versions"].items() if n != "torchattacks"}
    assert fault({**same, "versions": silent}, "here", tmp_path, cpu_only=True) is None


@pytest.mark.usefixtures("absent")
def test_a_worker_may_have_more(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("here")
    answer = probe(str(token))
    assert answer["versions"]["torchattacks"] == "none"
    more = {**answer, "versions": {**answer["versions"], "torchattacks": "torchattacks 3.5.1"}}
    assert fault(more, "here", tmp_path, cpu_only=True) is None


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere"),
        ("raise OSError('libcuda.so is not there')", "OSError: libcuda.so is not there"),
        ("None.version", "AttributeError: 'NoneType' object"),
        ("raise SystemExit(0)", "SystemExit: 0"),
    ],
)
def test_a_library_that_cannot_be_imported_is_one_clear_message(
    code: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_installed.py").write_text(f"{code}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    broken = Library("half_installed", "half-installed", "half-installed")
    assert broken.missing is None
    assert broken.version == "half-installed of no known version"
    with pytest.raises(LibraryError, match=f"cannot be imported: {message}.*; repair it: pip"):
        broken.load()
    assert extra("torch").load() is torch
    assert Part.requires is None


def test_a_module_within_a_package_is_looked_for_without_an_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "outer_box" / "inner").mkdir(parents=True)
    (tmp_path / "outer_box" / "__init__.py").write_text("raise OSError('imported')\n")
    (tmp_path / "outer_box" / "inner" / "__init__.py").touch()
    (tmp_path / "single_file.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))

    def missing(module: str) -> str | None:
        return Library(module, "box", "box").missing

    assert missing("outer_box.inner") is None
    for module in ("outer_box.other", "nowhere.inner.most", "single_file.json"):
        assert missing(module) == f"needs {module}: pip install 'box'"
