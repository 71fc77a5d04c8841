"""The plan: jobs shared, keys that depend on what matters only, filters, transfer."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hashattack.benchmark.columns import COLUMNS
from hashattack.benchmark.plan.plan import Plan, make_plan
from hashattack.benchmark.store.store import Store
from hashattack.benchmark.suites.loading import load_suite
from hashattack.benchmark.suites.sources import SuiteError
from hashattack.targets.backbones import Tiny
from tests.conftest import SMALL_DIGITS, run_inline, small_suite

TARGET = {"method": "DPSH", "backbone": "Tiny", "weights": "none"}


def stages(plan: Plan) -> Counter[str]:
    return Counter(job.stage for job in plan.jobs.values())


def test_inputs_come_before_what_needs_them(cache: Path) -> None:
    seen: set[str] = set()
    for key, job in make_plan(load_suite("smoke"), cache).jobs.items():
        assert all(ref.key in seen for ref in job.inputs.values())
        seen.add(key)


def test_jobs_in_common_are_planned_once(cache: Path) -> None:
    plan = make_plan(load_suite("smoke"), cache)
    assert stages(plan) == {
        "pretrain": 1,  # one trunk for both code lengths
        "train": 2,
        "encode": 6,
        "draw": 1,  # the same targets for every attack
        "fit": 4,  # PrototypeNet once a target for both that use it, and the generator
        "craft": 16,  # Original and Noise once for both targets
        "hash": 14,  # not for the code-only attacks
        "gallery": 14,
        "score": 18,
    }
    assert len(plan.cells) == 18


def test_more_seeds_train_nothing_again(cache: Path) -> None:
    one = make_plan(small_suite(), cache)
    three = make_plan(small_suite(seeds=3), cache)
    assert stages(three)["train"] == stages(one)["train"] == 1
    assert stages(three)["draw"] == 3
    assert set(one.jobs) <= set(three.jobs)
    retrained = make_plan(small_suite(target_seeds=[0, 1]), cache)
    assert stages(retrained)["train"] == 2


def test_a_new_metric_makes_the_jobs_that_measure_it_anew(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = make_plan(small_suite(), cache)
    monkeypatch.setitem(COLUMNS, "recall", replace(COLUMNS["t_map"], name="recall"))
    after = make_plan(small_suite(), cache)
    made = {after.jobs[key].stage for key in after.jobs.keys() - before.jobs.keys()}
    assert made == {"score"}


def test_victims_are_scored_without_crafting_again(cache: Path) -> None:
    target = {**TARGET, "bits": [8, 12, 16]}
    attacks = ["original", "dhta-fgsm", "anchor-code"]
    plan = make_plan(small_suite(targets=[target], victims="*", attacks=attacks), cache)
    counts = stages(plan)
    assert counts["craft"] == 1 + 2 * 3  # Original sees no hasher: once for all
    assert counts["hash"] == 3 + 9  # Original against itself, FGSM against all
    skipped = [cell for cell in plan.cells if cell.skipped]
    assert len(skipped) == 6
    assert "8-bit code cannot query a 12-bit database" in str(skipped[0].skipped)
    alone = make_plan(small_suite(targets=[target], attacks=attacks), cache)
    assert set(alone.jobs) <= set(plan.jobs)


def test_the_paper_hides_the_database_from_the_attacker(cache: Path) -> None:
    for protocol, sees in (("released", True), ("paper", False)):
        plan = make_plan(small_suite(attacks=["dhta", "prosgan"], protocols=protocol), cache)
        for job in plan.jobs.values():
            if job.stage in ("craft", "fit"):
                assert ("database" in job.inputs) is sees


def test_keys_know_contents_not_places(cache: Path, tmp_path: Path) -> None:
    here = make_plan(small_suite(), cache)
    assert set(here.jobs) == set(make_plan(small_suite(), tmp_path).jobs)
    bigger = {"dataset": "digits", "params": {**SMALL_DIGITS, "n_database": 250}}
    assert not set(here.jobs) & set(make_plan(small_suite(datasets=[bigger]), tmp_path).jobs)


def test_batch_and_threads_are_part_of_what_networks_compute(cache: Path) -> None:
    by_batch = [make_plan(small_suite(compute={"batch": batch}), cache) for batch in (4, 5)]
    common = set(by_batch[0].jobs) & set(by_batch[1].jobs)
    kept = {by_batch[0].jobs[key].stage for key in common}
    assert kept == {"train", "draw"}  # training has its own batch


def test_a_weight_file_counts_by_its_content(cache: Path, tmp_path: Path) -> None:
    def train_keys(file: Path | str) -> set[str]:
        target = {**TARGET, "bits": 12, "weights": str(file)}
        plan = make_plan(small_suite(targets=[target]), cache)
        assert stages(plan)["weights"] == 1
        return set(plan.jobs)

    trunk, _ = Tiny().build(32)
    file = tmp_path / "a.pth"
    torch.save(trunk.state_dict(), file)
    elsewhere = shutil.copy(file, tmp_path / "b.pth")
    before = train_keys(file)
    assert train_keys(elsewhere) == before
    torch.save({n: t + 1 for n, t in trunk.state_dict().items()}, file)
    other = train_keys(file)
    shared = 2
    assert len(before & other) == shared  # target labels and Original depend on no weights


def test_only_selects_cells_by_globs(cache: Path) -> None:
    suite = load_suite("smoke")
    plan = make_plan(suite, cache).only(["attack=dhta*,source=*-32", "attack=noise"])
    chosen = [(cell.row["attack"], cell.row["source"]) for cell in plan.cells]
    assert sorted(chosen) == [
        ("dhta", "DPSH-Tiny-32"),
        ("dhta-fgsm", "DPSH-Tiny-32"),
        ("dhta-ifgsm", "DPSH-Tiny-32"),
        ("noise", "DPSH-Tiny-12"),
        ("noise", "DPSH-Tiny-32"),
    ]
    for text, message in (
        ("atack=dhta", "no column 'atack'; did you mean 'attack'?"),
        ("dhta", "expected column=glob"),
        ("attack=prosgan-eps", "matches no cell"),
    ):
        with pytest.raises(SuiteError) as caught:
            make_plan(suite, cache).only([text])
        assert message in str(caught.value)


def test_weights_from_a_file_are_where_training_starts(cache: Path, tmp_path: Path) -> None:
    trunk, _ = Tiny().build(32)
    file = tmp_path / "trunk.pth"
    torch.save(trunk.state_dict(), file)
    # A rate too small to move a float32: the trained trunk is the file's.
    recipe = {"epochs": 1, "learning_rate": 1e-30, "weight_decay": 0}
    target = {**TARGET, "bits": 12, "weights": str(file), "training": recipe}
    plan, outcome = run_inline(small_suite(targets=[target]), cache, tmp_path / "out")
    trained = next(job for job in plan.jobs.values() if job.stage == "train")
    assert outcome.status[trained.key] == "ok"
    arrays = Store(tmp_path / "out" / "store").arrays(trained.ref)
    for name, parameter in trunk.named_parameters():
        assert np.abs(arrays[f"trunk.{name}"] - parameter.detach().numpy()).max() < 1e-20


def test_suite_wide_settings_reach_every_attack_that_has_them(cache: Path) -> None:
    attacks = ["noise", "dhta", {"attack": "p2p", "params": {"steps": 3}}]
    suite = small_suite(attacks=attacks, params={"steps": 7, "rule": "l2"})
    rows = [cell.row for cell in make_plan(suite, cache).cells]
    assert [row["overrides"] for row in rows] == ["", "steps=7, rule=l2", "steps=3, rule=l2"]
    assert [row["variant"] for row in rows] == ["", "", "steps=3"]
    assert [row["protocol"] for row in rows] == ["released"] * 3
    with pytest.raises(SuiteError) as caught:
        make_plan(small_suite(attacks=attacks, params={"step": 7}), cache)
    assert "params.step: no attack of the suite has" in str(caught.value)
    assert "did you mean 'steps'?" in str(caught.value)


def test_bad_plans_say_what_is_wrong(cache: Path) -> None:
    with pytest.raises(SuiteError, match="25 requested, but digits has 24"):
        make_plan(small_suite(queries=25), cache)
    with pytest.raises(SuiteError, match="two target hashers called DPSH-Tiny-12"):
        make_plan(small_suite(targets=[{**TARGET, "bits": [12, 12]}]), cache)
    wrong = [{"dataset": "digits", "params": {"n_trian": 3}}]
    with pytest.raises(SuiteError) as caught:
        make_plan(small_suite(datasets=wrong), cache)
    assert "datasets[0].params.n_trian: unknown parameter; did you mean 'n_train'?" in str(
        caught.value
    )


def draws(plan: Plan) -> dict[str, set[str]]:
    """Return the draws of target labels of each protocol."""
    found: dict[str, set[str]] = {}
    for cell in plan.cells:
        found.setdefault(cell.row["protocol"], set()).add(cell.jobs["draw"].key)
    return found


def test_protocols_are_compared_on_the_same_target_labels(cache: Path) -> None:
    found = draws(make_plan(small_suite(protocols=["released", "paper"]), cache))
    assert found["released"] == found["paper"]
    assert len(found["paper"]) == 1


def test_target_labels_that_anchors_cannot_have_are_refused(cache: Path) -> None:
    make_plan(small_suite(protocols="paper", policies="unique-train"), cache)
    for policy in ("unique", "unique-disjoint"):
        with pytest.raises(SuiteError, match=rf"protocol paper .* '{policy}'; use 'unique-train'"):
            make_plan(small_suite(protocols="paper", policies=policy), cache)


@pytest.mark.parametrize(("protocol", "rows"), [("released", "unique"), ("paper", "unique-train")])
def test_as_published_every_attack_draws_by_its_own_policy(
    protocol: str, rows: str, cache: Path
) -> None:
    attacks = ["p2p", "dhta", "prosgan", "gan", "prosgan1", "anchor-code", "prototype-code"]
    suite = small_suite(attacks=attacks, policies="as-published", protocols=protocol)
    plan = make_plan(suite, cache)
    tasks = {cell.row["attack"]: cell.jobs["draw"].task for cell in plan.cells}
    frequent = dict.fromkeys(("p2p", "dhta"), "frequent")
    assert {name: task.policy for name, task in tasks.items()} == {
        **dict.fromkeys(attacks, rows),
        **frequent,
    }
    assert stages(plan)["draw"] == len(attacks)
    assert {cell.row["policy"] for cell in plan.cells} == {"as-published"}
    assert all(cell.jobs["score"].inputs["targets"] == cell.jobs["draw"].ref for cell in plan.cells)


@pytest.mark.parametrize(
    ("attack", "params", "shortened"),
    [
        *(("dhta", {}, False), ("dhta", {"rule": "l2"}, False), ("dhta", {"steps": 3000}, False)),
        *(("dhta", {"steps": 1999}, True), ("dhta-ifgsm", {"steps": 20}, True)),
        *(("prototype-code", {"prototype_steps": 99}, True), ("prosgan", {"epochs": 99}, True)),
        *(("prosgan", {"alpha": 10}, False), ("noise", {}, False), ("prosgan-eps", {}, False)),
    ],
)
def test_a_row_of_fewer_steps_or_epochs_is_shortened(
    attack: str, params: dict[str, Any], shortened: bool, cache: Path
) -> None:
    entries = [{"attack": attack, "params": params}, attack]
    plan = make_plan(small_suite(attacks=entries, protocols=["released", "paper"]), cache)
    for cell in plan.cells:
        own = cell.row["variant"] != ""
        assert cell.row["shortened"] is (own and shortened)
