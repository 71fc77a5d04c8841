"""All that is registered passes the checks of plug-ins, and each fault is found by its check."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import get_args

import pytest

from hashattack.attacks.protocols import PROTOCOLS
from hashattack.benchmark.cli.options import DraftKind
from hashattack.benchmark.contract import checks
from hashattack.benchmark.contract.attack_checks import Trial, attack_checks
from hashattack.benchmark.contract.checks import Result, remember, run_checks, unchecked
from hashattack.benchmark.contract.part_checks import PART_CHECKS, Source
from hashattack.benchmark.contract.plugin import check_attack, check_module, declared
from hashattack.benchmark.contract.world import DIGITS, World
from hashattack.benchmark.drafts import write_draft
from hashattack.benchmark.plugins import PluginError, load_plugins
from hashattack.benchmark.registry import registry
from hashattack.datasets.base import DatasetSpec
from hashattack.targets.backbones import Backbone
from hashattack.targets.losses import HashingMethod
from tests.faulty_attacks import FAULTS
from tests.faulty_parts import CHANGES, PARTS
from tests.honest_attack import HONEST, SOUND
from tests.photos import spec
from tests.test_plugins import _forgotten as _forgotten
from tests.test_plugins import forget, written

NAME = "plugin_under_test.py"


def failures(results: list[Result]) -> list[tuple[str, str, str]]:
    return [(one.subject, one.check, one.message) for one in results if one.status == "failed"]


def results_of(folder: Path, text: str, world: World) -> list[Result]:
    """Return the results of a plug-in file."""
    (module,) = load_plugins([written(folder, text, NAME)])
    return list(check_module(module, world, folder))


@pytest.mark.parametrize("name", registry().attacks)
def test_every_attack_passes_under_every_protocol(name: str, world: World) -> None:
    results = list(check_attack(registry().attacks[name].build, world))
    if results[0].check == checks.LIBRARY:
        pytest.skip(results[0].message)
    assert [one for one in results if one.status != "passed"] == []
    subjects = " ".join(dict.fromkeys(one.subject for one in results))
    assert all(re.search(rf"[( ]{protocol}[),]", subjects) for protocol in PROTOCOLS)


@pytest.mark.parametrize("name", registry().methods)
def test_every_loss_passes(name: str) -> None:
    results = list(run_checks(name, registry().methods[name](), PART_CHECKS[HashingMethod]))
    assert {one.status for one in results} == {"passed"}, failures(results)


@pytest.mark.parametrize("name", registry().backbones)
def test_every_backbone_passes(name: str) -> None:
    backbone = registry().backbones[name]()
    if "head_width" in {field.name for field in fields(backbone)}:
        backbone = replace(backbone, head_width=64)  # type: ignore[call-arg]
    results = list(run_checks(name, backbone, PART_CHECKS[Backbone]))
    assert {one.status for one in results} == {"passed"}, failures(results)


def test_data_sets_pass(cache: Path, folder: Path) -> None:
    for dataset in (DIGITS, spec(folder)):
        results = list(run_checks(dataset.name, Source(dataset, cache), PART_CHECKS[DatasetSpec]))
        assert {one.status for one in results} == {"passed"}, failures(results)


@pytest.mark.parametrize("kind", get_args(DraftKind))
def test_drafts_pass(kind: DraftKind, world: World, tmp_path: Path) -> None:
    (module,) = load_plugins([write_draft(kind, "my-idea", tmp_path)[0]])
    results = list(check_module(module, world, tmp_path))
    assert {one.status for one in results} == {"passed"}
    subjects = {one.subject for one in results}
    assert subjects == {"my-idea (released, saat)", "my-idea (paper, paper-literal)", "my_idea.py"}


def test_the_honest_attack_passes(world: World, tmp_path: Path) -> None:
    assert {one.status for one in results_of(tmp_path, HONEST, world)} == {"passed"}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_by_its_check_alone(fault: str, world: World, tmp_path: Path) -> None:
    text, check, message = FAULTS[fault]
    assert text != HONEST
    (module,) = load_plugins([written(tmp_path, text, NAME)])
    (entry,) = declared(module)[0]
    trial = Trial(entry.build, PROTOCOLS["paper"], world)
    results = list(run_checks("it", trial, attack_checks(trial.attack), [str(module.__file__)]))
    ((_, found, said),) = failures(results)
    assert (found, re.match(message, said) is not None) == (check, True), said
    assert "\n" not in said


def test_every_check_finds_a_fault(world: World) -> None:
    trial = Trial(registry().attacks["dhta"].build, PROTOCOLS["paper"], world)
    names = {check.__name__.removeprefix("check_") for check in attack_checks(trial.attack)}
    assert {check for _, check, _ in FAULTS.values()} == names - {
        "seed",
        "passes",
    }  # which only note
    parts = {check.__name__ for checks in PART_CHECKS.values() for check in checks}
    found = {f"check_{check}" for check, _ in CHANGES}
    assert parts - found == {"check_value", "check_dataset"}, "tried with attacks"


@pytest.mark.parametrize("kind", SOUND)
def test_what_only_looks_like_a_fault_passes(kind: str, world: World, tmp_path: Path) -> None:
    text, notes = SOUND[kind]
    assert text != HONEST
    results = results_of(tmp_path, text, world)
    assert failures(results) == []
    found = {one.check: one.message for one in results if one.status == "note"}
    assert found.keys() == notes.keys(), found
    assert all(re.match(notes[check], message) for check, message in found.items()), found


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("assert not protocol, 'no'", "it raises AssertionError ({name}, line {line}): no"),
        ("raise SystemExit(0)", "it raises SystemExit ({name}, line {line}): 0"),
        ("return None", "its function returns a NoneType, not an Attack"),
    ],
)
def test_an_attack_that_cannot_be_built_under_a_protocol(
    fault: str, message: str, world: World, tmp_path: Path
) -> None:
    head = "    rule = Rule("
    text = HONEST.replace(head, f"    if protocol.name == 'paper':\n        {fault}\n{head}")
    line = text.lstrip()[: text.lstrip().index(fault)].count("\n") + 1
    results = results_of(tmp_path, text, world)
    found = message.format(name=NAME, line=line)
    assert failures(results) == [("faulty (paper)", "build", found)]
    assert {one.subject for one in results} == {
        *("faulty (paper)", "faulty (released, saat)", "faulty (paper-literal)", NAME)
    }
    with pytest.raises(PluginError, match="the attack 'faulty' cannot be built: "):
        registry().attacks["faulty"].build(PROTOCOLS["paper"])


@pytest.mark.parametrize(("finding", "change"), CHANGES.items())
def test_faults_of_other_parts(
    finding: tuple[str, str], change: tuple[str, str], world: World, tmp_path: Path
) -> None:
    assert change[0] in PARTS
    found = failures(results_of(tmp_path, PARTS.replace(*change), world))
    assert {check for _, check, _ in found} == {finding[0]}, found
    assert all(message.startswith(finding[1]) for _, _, message in found), found


def test_other_parts_are_checked_or_say_why_not(world: World, tmp_path: Path) -> None:
    results = results_of(tmp_path, PARTS, world)
    assert {one.subject for one in results} >= {
        "Mine",
        "Flat",
        "few",
        "First (paper, paper-literal)",
    }
    assert {one.status for one in results} == {"passed"}
    for old, new, message in (
        (
            '= "few"\n',
            '= "few"\n    root: str\n',
            "not checked: missing a required",
        ),
        (
            "        split =",
            '        raise DatasetError("no images")\n        split =',
            "not loaded: no",
        ),
    ):
        forget()
        assert old in PARTS
        results = results_of(tmp_path, PARTS.replace(old, new), world)
        skipped = [one.message for one in results if one.status == "skipped"]
        assert skipped
        assert all(one.startswith(message) for one in skipped), skipped


def test_what_is_imported_is_not_declared(tmp_path: Path) -> None:
    text = "from hashattack.attacks.published import dhta\n"
    text += "from hashattack.targets.losses import DPSH\n"
    (module,) = load_plugins([written(tmp_path, text, NAME)])
    assert declared(module) == ([], [])


def test_a_run_knows_which_files_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, cache = tmp_path / "mine.py", tmp_path / "cache"
    file.write_text("import helper\n", encoding="utf-8")
    (tmp_path / "helper.py").write_text("A = 1\n", encoding="utf-8")
    never = [f"{file} was not checked as it is: run-benchmark check-plugin {file}"]
    assert list(unchecked([file], cache)) == never
    remember([file], [Result("mine (paper)", "run", "passed", "")], cache)
    assert not list(unchecked([file], cache))
    (tmp_path / "helper.py").write_text("A = 2\n", encoding="utf-8")
    assert list(unchecked([file], cache)) == never, "another text"
    failed = Result("mine (paper)", "hasher", "failed", "it changes the hasher")
    remember([file], [failed, failed], cache)
    assert list(unchecked([file], cache)) == [
        f"{file} fails check-plugin, so its rows are not comparable: mine (paper): it changes the "
        "hasher (and 1 more)"
    ]
    monkeypatch.setattr("hashattack.benchmark.store.files.program_digest", lambda: "edited")
    assert list(unchecked([file], cache)) == never, "another program"
