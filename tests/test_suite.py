"""Suites: every mistake names its place and the nearest right name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hashattack.attacks.protocols import PROTOCOLS
from hashattack.benchmark.registry import registry
from hashattack.benchmark.suites.loading import hyper_parameters, load_suite, override
from hashattack.benchmark.suites.sources import SuiteError, shipped
from hashattack.benchmark.suites.suite import (
    Params,
)
from tests.conftest import small_suite


@pytest.mark.parametrize("name", shipped())
def test_shipped_suites_are_sound_and_described(name: str) -> None:
    suite = load_suite(name)
    assert suite.name == name
    assert suite.description


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quieries": 3}, "quieries: unknown key; did you mean 'queries'?"),
        ({"attcks": []}, "attcks: unknown key; did you mean 'attacks'?"),
        ({"compute": {"bach": 3}}, "compute.bach: unknown key; did you mean 'batch'?"),
        ({"attacks": [{"attack": "dhta", "parms": {}}]}, "attacks[0].parms: unknown key; did you"),
        ({"attacks": ["dhtaa"]}, "attacks[0].attack: unknown attack 'dhtaa'; did you mean 'dhta'?"),
        (
            {"datasets": "digit"},
            "datasets[0].dataset: unknown data set 'digit'; did you mean 'digits'?",
        ),
        ({"protocols": "relesed"}, "unknown protocol 'relesed'; did you mean 'released'?"),
        ({"policies": "frequnt"}, "policies[0]: Input should be 'frequent', 'frequent-train'"),
        ({"queries": 0}, "queries: Input should be greater than or equal to 1"),
        ({"seeds": "many"}, "seeds: Input should be a valid integer"),
        ({"seeds": "9" * 30}, "seeds: Input should be less than or equal to 10000"),
        ({"target_seeds": [-1]}, "target_seeds[0]: Input should be greater than or equal to 0"),
        ({"compute": {"threads": 2**40}}, "compute.threads: Input should be less than"),
        ({"protocols": []}, "protocols: Value should have at least 1 item"),
        ({"seeds": 10**9}, "seeds: Input should be less than or equal to 10000"),
    ],
)
def test_a_mistake_names_its_place(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SuiteError) as caught:
        small_suite(**change)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone": "ResNet-18"}, "unknown backbone 'ResNet-18'; did you mean 'ResNet18'?"),
        ({"method": "DPSHH"}, "unknown hashing method 'DPSHH'; did you mean 'DPSH'?"),
        ({"training": {"epoch": 1}}, "training.epoch: unknown key; did you mean 'epochs'?"),
        ({"bits": []}, "targets[0].bits"),
    ],
)
def test_a_mistake_in_a_target_names_its_place(change: dict[str, Any], message: str) -> None:
    target = {"method": "DPSH", "backbone": "Tiny", "bits": 12, "weights": "none", **change}
    with pytest.raises(SuiteError) as caught:
        small_suite(targets=[target])
    assert message in str(caught.value)


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(SuiteError) as caught:
        small_suite(attacks=["dtha", "nois"], protocols="papr")
    assert len(str(caught.value).splitlines()) == 3


def test_hyper_parameters_are_overridden_by_flat_name_and_checked() -> None:
    attack = registry().attacks["dhta"].build(PROTOCOLS["released"])
    changed = override(attack, {"steps": 7, "n_t": 3, "epsilon": 0.1}, "here")
    known = hyper_parameters(changed)
    assert (known["steps"], known["n_t"], known["epsilon"]) == (7, 3, 0.1)
    assert known["rule"] == "raw/32"
    assert hyper_parameters(attack)["steps"] == 2000
    for params, message in (
        ({"step": 3}, "here.step: dhta has no such hyper-parameter; did you mean 'steps'?"),
        ({"steps": "few"}, "here.steps: Input should be a valid integer"),
        ({"rule": "l3"}, "here.rule: Input should be 'sign', 'l2', 'raw/32'"),
        ({"steps": 0}, "steps and step_size must be positive"),
        ({"epsilon": -1}, "epsilon must be a number of pixels"),
    ):
        with pytest.raises(SuiteError) as caught:
            override(attack, params, "here")
        assert message in str(caught.value)


def test_any_key_is_set_from_the_command_line() -> None:
    values = {"queries": 8, "compute.batch": 4, "params.steps": 3, "bits": [8]}
    values |= {"training.epochs": 2, "datasets.side": 96}
    suite = load_suite("smoke", values=values)
    assert (suite.queries, suite.compute.batch, suite.params["steps"]) == (8, 4, 3)
    assert suite.compute.threads == load_suite("smoke").compute.threads
    assert [entry.params["side"] for entry in suite.datasets] == [96]
    for entry, before in zip(suite.targets, load_suite("smoke").targets, strict=True):
        assert (entry.bits, entry.training.epochs) == ([8], 2)
        assert entry.training.learning_rate == before.training.learning_rate
    filled = load_suite("table1", {"scale": "mini"}, values={"training.epochs": 1})
    assert {entry.training.epochs for entry in filled.targets} == {1}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"trainin.epochs": 2}, "--set trainin.epochs: no key 'trainin'; did you mean 'training'?"),
        ({"training.epoch": 2}, "targets[0].training.epoch: unknown key; did you mean 'epochs'?"),
        ({"queries.x": 2}, "--set queries.x: queries is a single value and has no keys"),
        ({"queries": "ten"}, "with --set: queries: Input should be a valid integer"),
        ({"scale": "mini"}, "--set scale: no key 'scale'"),
    ],
)
def test_a_value_that_cannot_be_set_is_refused(values: Params, message: str) -> None:
    with pytest.raises(SuiteError) as caught:
        load_suite("smoke", values=values)
    assert message in str(caught.value)


def test_unknown_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="unknown suite 'dmo'; did you mean 'demo'"):
        load_suite("dmo")
    with pytest.raises(SuiteError, match="No such file"):
        load_suite(str(tmp_path / "absent.yaml"))
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1")
    with pytest.raises(SuiteError, match="not YAML"):
        load_suite(str(broken))
    broken.write_text("- a list")
    with pytest.raises(SuiteError, match="a suite is a mapping"):
        load_suite(str(broken))
    broken.write_text("attacks: [!!python/object/apply:os.system ['true']]")
    with pytest.raises(SuiteError, match="not YAML"):
        load_suite(str(broken))
