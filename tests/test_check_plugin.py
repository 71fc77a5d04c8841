"""Plug-ins that break one promise each, and what check-plugin says of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hashattack.attacks.protocols import PROTOCOLS
from hashattack.benchmark.cli.options import DraftKind
from hashattack.benchmark.contract.attack_checks import CHECKS
from hashattack.benchmark.contract.checks import Verdict
from hashattack.benchmark.contract.examination import declared, module_verdicts
from hashattack.benchmark.contract.world import SealedError, World
from hashattack.benchmark.drafts import write_draft
from hashattack.benchmark.plugins import PluginError, load_plugins
from hashattack.benchmark.registry import registry
from hashattack.targets.hasher import Hasher
from tests import faulty_attacks, faulty_conduct
from tests.faulty_parts import CHANGES, PARTS
from tests.honest_attack import HONEST, SOUND
from tests.test_plugins import forget, written

FAULTS = {**faulty_attacks.FAULTS, **faulty_conduct.FAULTS}


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """Leave no plug-in to other tests."""
    yield
    forget()


def examined(folder: Path, text: str, world: World) -> list[Verdict]:
    """Return what the checks of a plug-in file come to."""
    (module,) = load_plugins([written(folder, text, "plugin_under_test.py")])
    return list(module_verdicts(module, world, folder))


def broken(found: list[Verdict]) -> dict[str, set[str]]:
    """Return the findings by check, without the names before them."""
    by_check: dict[str, set[str]] = {}
    for one in found:
        if one.status == "broken":
            by_check.setdefault(one.check, set()).add(one.text)
    return by_check


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_caught_by_its_check_alone(fault: str, world: World, tmp_path: Path) -> None:
    text, check, sentence = FAULTS[fault]
    assert text != HONEST
    found = examined(tmp_path, text, world)
    by_check = broken(found)
    assert list(by_check) == [check], by_check
    assert all(re.match(sentence, said) for said in by_check[check]), by_check
    assert all("\n" not in one.sentence for one in found)
    names = {one.of for one in found if one.status == "broken"}
    assert all(
        re.fullmatch(r"faulty(, one)? \((released|paper(, paper-literal)?|paper-literal)\)", name)
        for name in names
    ), names


def test_every_check_has_a_fault_that_it_catches() -> None:
    caught = {check for _, check, _ in FAULTS.values()}
    assert caught == {check.name for check in CHECKS} - {"seed"}  # which only ever notes
    assert not faulty_attacks.FAULTS.keys() & faulty_conduct.FAULTS.keys()


@pytest.mark.parametrize("kind", SOUND)
def test_what_only_looks_like_a_fault_is_kept(kind: str, world: World, tmp_path: Path) -> None:
    text, notes = SOUND[kind]
    assert text != HONEST
    found = examined(tmp_path, text, world)
    assert broken(found) == {}
    told = {one.check: one.text for one in found if one.status == "noted"}
    assert told.keys() == notes.keys(), told
    assert all(re.match(notes[check], text) for check, text in told.items()), told
    assert {one.status for one in found} <= {"kept", "noted"}


def test_the_honest_one_keeps_every_promise(world: World, tmp_path: Path) -> None:
    assert {one.status for one in examined(tmp_path, HONEST, world)} == {"kept"}


@pytest.mark.parametrize("kind", DraftKind)
def test_drafts_keep_every_promise(kind: DraftKind, world: World, tmp_path: Path) -> None:
    (module,) = load_plugins([write_draft(kind.value, "my-idea", tmp_path).file])
    found = list(module_verdicts(module, world, tmp_path))
    assert {one.status for one in found} == {"kept"}
    assert {one.of for one in found} == {"my-idea (released)", "my-idea (paper, paper-literal)"}
    assert len(found) == 38


@pytest.mark.parametrize("protocols", [{"released"}, {"paper"}])
def test_an_attack_that_cannot_be_built_is_a_finding(
    protocols: set[str], world: World, tmp_path: Path
) -> None:
    head = "    rule = Rule("
    fault = f"    assert protocol.name not in {protocols}, 'not that'\n{head}"
    text = HONEST.replace(head, fault)
    found = examined(tmp_path, text, world)
    line = text.lstrip()[: text.lstrip().index("assert protocol")].count("\n") + 1
    assert [one.of for one in found if one.status == "broken"] == [
        f"faulty ({name})" for name in protocols
    ]
    assert broken(found) == {
        "built": {f"it raises AssertionError (plugin_under_test.py, line {line}): not that"}
    }
    if "released" in protocols:
        with pytest.raises(PluginError, match="attack 'faulty' cannot be built: AssertionError"):
            registry()


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("raise SystemExit(0)", "it raises SystemExit (plugin_under_test.py, line {line}): 0"),
        ("return None", "its function returns a NoneType, not an Attack"),
    ],
)
def test_an_exit_or_nothing_for_an_attack_is_a_finding(
    fault: str, told: str, world: World, tmp_path: Path
) -> None:
    head = "    rule = Rule("
    text = HONEST.replace(head, f"    if protocol.name == 'paper':\n        {fault}\n{head}")
    line = text.lstrip()[: text.lstrip().index(fault)].count("\n") + 1
    assert broken(examined(tmp_path, text, world)) == {"built": {told.format(line=line)}}
    with pytest.raises(PluginError, match="the attack 'faulty' cannot be built: "):
        registry().attacks["faulty"].build(PROTOCOLS["paper"])


def test_a_class_that_was_changed_is_given_back(world: World, tmp_path: Path) -> None:
    forward = Hasher.forward
    assert broken(examined(tmp_path, FAULTS["a class"][0], world)).keys() == {"hasher"}
    assert Hasher.forward is forward


def test_what_stands_on_a_broken_promise_is_not_checked(world: World, tmp_path: Path) -> None:
    text, _, _ = FAULTS["NaN everywhere"]
    found = [one for one in examined(tmp_path, text, world) if "released" in one.of]
    because = {one.check: one.because for one in found if one.status == "skipped"}
    assert because.keys() >= {"zero", "looks", "repeats", "order", "batch"}
    assert set(because.values()) == {"finite"}


def test_the_queries_labels_are_sealed(world: World) -> None:
    labels = world.data.query.labels
    assert labels.shape == (24, 10)
    for read in (lambda: labels[0], lambda: labels.tolist(), lambda: np.asarray(labels)):
        with pytest.raises((SealedError, AttributeError)):
            read()


@pytest.mark.parametrize(("finding", "change"), CHANGES.items())
def test_faults_of_other_parts(
    finding: tuple[str, str], change: tuple[str, str], world: World, tmp_path: Path
) -> None:
    check, sentence = finding
    assert change[0] in PARTS
    by_check = broken(examined(tmp_path, PARTS.replace(*change), world))
    assert list(by_check) == [check], by_check
    assert all(said.startswith(sentence) for said in by_check[check]), by_check


def test_other_parts_are_examined_or_say_why_not(world: World, tmp_path: Path) -> None:
    found = examined(tmp_path, PARTS, world)
    assert {one.of for one in found} >= {"Mine", "Flat", "few", "First (paper, paper-literal)"}
    assert {one.status for one in found} == {"kept"}
    forget()
    text = PARTS.replace(
        'name: ClassVar[str] = "few"\n', 'name: ClassVar[str] = "few"\n    root: str\n'
    )
    (one,) = [one for one in examined(tmp_path, text, world) if one.of == "few"]
    assert (one.status, one.text) == ("skipped", "not checked: it needs root")
    forget()
    text = PARTS.replace(
        "        split = Split(", '        raise DatasetError("no images")\n        Split('
    )
    few = [one.text for one in examined(tmp_path, text, world) if one.of == "few"]
    assert "not loaded: no images" in few


def test_what_is_imported_is_not_declared(tmp_path: Path) -> None:
    text = "from hashattack.attacks.published import dhta\nfrom targets.losses import DPSH\n"
    (module,) = load_plugins([written(tmp_path, text, "plugin_under_test.py")])
    assert not declared(module)
