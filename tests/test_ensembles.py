"""Ensembles: attacks crafted on several hashers together, scored on those outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hashattack.attacks.base import Knowledge, Pool
from hashattack.attacks.protocols import EPSILON, PROTOCOLS
from hashattack.attacks.published import anchor_code
from hashattack.benchmark.api import load_run
from hashattack.benchmark.audit import InvalidAttackError
from hashattack.benchmark.plan.estimate import estimate
from hashattack.benchmark.plan.plan import Plan, make_plan
from hashattack.benchmark.regression.baseline import freeze
from hashattack.benchmark.results.frame import load_results
from hashattack.benchmark.results.run import Run
from hashattack.benchmark.stages.attacker import check_unchanged
from hashattack.benchmark.stages.attacking import Craft
from hashattack.benchmark.suites.sources import SuiteError
from hashattack.benchmark.suites.suite import Suite
from hashattack.targets.ensemble import Ensemble
from hashattack.targets.hasher import Hasher
from tests.checks import Checker
from tests.conftest import run_inline, small_suite, untrained

A, B, OUTSIDE = "DPSH-Tiny-12", "HashNet-Tiny-16", "DPSH-Tiny-28"
BOTH = f"{A}+{B}"
STEPS = {"steps": 3}
RECIPE = {"backbone": "Tiny", "weights": "none", "training": {"epochs": 1, "learning_rate": 0.02}}
TOGETHER: dict[str, Any] = {"params": STEPS, "ensemble": [A, B]}


def suite(*attacks: Any, victims: Any = "*") -> Suite:
    """Return a suite of hashers of which one has as many bits as the others together."""
    targets = [
        {"method": "DPSH", "bits": [12, 28], **RECIPE},
        {"method": "HashNet", "bits": 16, **RECIPE},
    ]
    return small_suite(targets=targets, attacks=list(attacks), victims=victims)


@pytest.fixture(scope="module")
def made(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path]:
    out = tmp_path_factory.mktemp("ensemble")
    content = suite(
        "original",
        {"attack": "dhta-ifgsm", **TOGETHER},
        {"attack": "anchor-code", "ensemble": "*-Tiny-1*"},
        {
            "attack": "prototype-ifgsm",
            "params": {**STEPS, "prototype_steps": 5},
            "ensemble": "*-1?",
        },
    )
    plan, _ = run_inline(content, cache, out)
    return plan, out


@pytest.fixture
def run(made: tuple[Plan, Path], cache: Path) -> Run:
    return load_run(made[1], cache=cache)


def test_rows_are_of_the_victims_outside(made: tuple[Plan, Path]) -> None:
    rows = load_results(made[1])
    rows = rows[rows["attack"] != "original"].set_index("attack")
    assert set(rows["source"]) == {BOTH}
    assert set(rows["victim"]) == {OUTSIDE}
    assert set(rows["source_method"]) == {"DPSH+HashNet"}
    assert set(rows["source_backbone"]) == {"Tiny"}
    assert set(rows["source_bits"]) == {28}
    assert rows["status"].to_dict() == {
        "dhta-ifgsm": "ok",
        "anchor-code": "skipped",
        "prototype-ifgsm": "ok",  # learns the codes of both side by side
    }
    assert rows.loc["dhta-ifgsm", "passes_per_image"] == 2 * 2 * STEPS["steps"]
    assert set(rows["notes"].fillna("")) == {""}
    assert rows.loc["anchor-code", "reason"] == (
        "a code of several hashers together queries the database of none"
    )


def test_its_hasher_is_its_members_side_by_side(run: Run) -> None:
    images = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    together, alone = run.hasher(BOTH), [run.hasher(name) for name in (A, B)]
    assert together.bits == 28
    assert together.name == BOTH
    outputs = torch.cat([one(images, alpha=0.5) for one in alone], dim=1)
    assert torch.equal(together(images, alpha=0.5), outputs)


def test_its_images_descend_the_mean_of_the_members_losses(run: Run) -> None:
    """Against I-FGSM written out, on the losses of both, each weighed by its code length."""
    hashers = [run.hasher(name) for name in (A, B)]
    data = run.dataset()
    codes = torch.cat([torch.from_numpy(run.codes("database", victim=v)) for v in (A, B)], dim=1)
    nobody: Any = None
    known = Knowledge(BOTH, nobody, nobody, Pool(np.asarray(data.database.labels), codes))
    labels = run.target_labels(attack="dhta-ifgsm")
    rule = anchor_code(PROTOCOLS["released"])
    target = torch.tensor_split(rule.codes(known, labels, np.arange(10), 0), [12], dim=1)
    clean = torch.from_numpy(data.query.images.read(np.arange(10))) / 255
    images = clean
    for _ in range(3):
        pixels = images.clone().requires_grad_()
        losses: list[Tensor] = [
            -(hasher(pixels) * code).mean(dim=1) * hasher.bits / 28
            for hasher, code in zip(hashers, target, strict=True)
        ]
        (gradient,) = torch.autograd.grad(sum(losses, torch.zeros(10)).sum(), pixels)
        images = (images - gradient.sign() / 255).clamp(clean - EPSILON, clean + EPSILON)
        images = images.clamp(0, 1)
    made = torch.from_numpy(run.images(attack="dhta-ifgsm"))
    apart = (made - images).abs() > 1e-6
    assert apart.float().mean() < 0.001, "but for the sign of gradients near zero"


def test_an_attack_may_not_change_a_member() -> None:
    stored, shown = (Ensemble([untrained(), untrained(bits=8)]) for _ in range(2))
    check_unchanged(shown, stored)
    member: Any = shown.members[1]
    with torch.no_grad():
        member.hash_layer.bias.add_(1)
    with pytest.raises(InvalidAttackError, match=r"values of members\.1\.hash_layer\.bias"):
        check_unchanged(shown, stored)
    assert isinstance(member, Hasher)


def test_its_estimate_is_the_sum_of_its_members(made: tuple[Plan, Path], tmp_path: Path) -> None:
    plan, _ = made
    seconds = estimate(plan, tmp_path, "cpu", measure=lambda *_, **__: 1.0)
    (craft,) = (
        job
        for job in plan.jobs.values()
        if isinstance(job.task, Craft) and job.task.attack.id == "dhta-ifgsm"
    )
    passes = craft.task.attack.passes
    assert passes is not None
    assert seconds[craft.key] == pytest.approx(2 * 10 * passes, abs=1)


def test_a_check_makes_its_members(made: tuple[Plan, Path], cache: Path, tmp_path: Path) -> None:
    checker = Checker(made[1], tmp_path, cache)
    result = checker("dhta-ifgsm", only=[f"victim={OUTSIDE}"])
    assert result.comparison.low == result.comparison.high == 0


@pytest.mark.parametrize(
    ("entry", "victims", "message"),
    [
        ({"attack": "dhta", **TOGETHER}, "self", "dhta on 2 hashers together, 0 victims outside"),
        ({"attack": "dhta", "ensemble": A}, "*", "dhta on 1 hasher together, 2 victims outside"),
        ({"attack": "original", "ensemble": [A, B]}, "*", "an ensemble needs an attack, two"),
    ],
)
def test_an_ensemble_needs_members_and_victims(
    entry: Any, victims: str, message: str, cache: Path
) -> None:
    with pytest.raises(SuiteError, match=rf"attacks\[0\]\.ensemble: .*{message}"):
        make_plan(suite(entry, victims=victims), cache)


def test_sources_are_attacked_alone_or_together() -> None:
    with pytest.raises(SuiteError, match="an ensemble together: name one"):
        suite({"attack": "dhta", "sources": A, "ensemble": [A, B]})


def test_a_baseline_keeps_the_weights_of_its_members(
    made: tuple[Plan, Path], tmp_path: Path
) -> None:
    file = tmp_path / "base.json"
    freeze(made[1], file, metrics=["t_map"], only=["attack=dhta-ifgsm"], targets=True)
    kept = {path.name for path in (tmp_path / "base-targets").iterdir()}
    assert kept == {f"digits-{name}-0.safetensors" for name in (A, B, OUTSIDE)}
