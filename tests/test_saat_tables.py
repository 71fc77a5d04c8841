"""The tables of SAAT: its numbers put in come out in place; goals and k keep apart what differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hashattack.benchmark.plan.plan import make_plan
from hashattack.benchmark.suites.loading import load_suite
from hashattack.datasets.draws import OWN
from hashattack.reports.grids import Grid, differences, grids
from hashattack.reports.names import Names
from hashattack.reports.published import tables
from hashattack.reports.tables import markdown
from tests.conftest import ROOT
from tests.fake_runs import frame, row

TYPED = ROOT.parent / "shared" / "paper" / "published-saat.csv"
PAPER = tables()["saat1"][0]
OLDER = tables()["table1"][0]
GOALS = {"MAP@5000": "non-targeted", "t-MAP@5000": "targeted"}


def made(attack: str, metric: str, value: float, **changes: Any) -> dict[str, Any]:
    """Return a row that holds a number of the paper, in the column of its goal."""
    bits, defence = changes.pop("bits", "16"), changes.pop("defence", "")
    goal = GOALS[metric]
    column = PAPER.metrics[metric].column
    policy = OWN if goal == "non-targeted" else "unique-disjoint"
    columns = {"goal": goal, "policy": policy, "protocol": "saat", "top": 5000}
    columns |= {"victim_defence": defence, "t_map_stable": None, "map_stable": 0.001}
    return {**row(attack, f"DPH-AlexNet-{bits}", None), **columns, column: value / 100, **changes}


def as_results(numbers: pd.DataFrame) -> pd.DataFrame:
    ids = {(name, id_.endswith("nontargeted")): id_ for id_, name in PAPER.attacks.items()}
    rows = []
    for one in numbers.to_dict("records"):
        away = (one["attack"], one["metric"] == "MAP@5000")
        attack = ids.get(away) or ids[one["attack"], False]
        keys = {name: one[name] for name in ("dataset", "bits", "defence")}
        rows.append(made(attack, one["metric"], one["published"], **keys))
    return frame(rows)


def filled(results: pd.DataFrame, name: str) -> list[Grid]:
    return list(grids(results, *tables()[name], Names(results)))


@pytest.mark.skipif(not TYPED.is_file(), reason=f"{TYPED} is not here")
def test_the_papers_numbers_are_those_that_were_typed() -> None:
    typed = pd.read_csv(TYPED, dtype="string").astype({"value": "float64"}).fillna("")
    ours = PAPER.numbers
    assert len(ours) == len(typed) == 204
    assert ours["published"].tolist() == typed["value"].tolist()
    assert ours["table"].tolist() == typed["table"].str.replace("-", "").tolist()
    for name in ("dataset", "bits", "defence", "attack", "metric"):
        assert ours[name].tolist() == typed[name].tolist(), name


@pytest.mark.parametrize("name", ["saat1", "saat2"])
def test_published_numbers_come_out_where_the_paper_has_them(name: str) -> None:
    numbers = PAPER.numbers[PAPER.numbers["table"] == name]
    (grid,) = filled(as_results(numbers), name)
    assert len(grid.numbers) == len(numbers)
    assert grid.numbers["value"].notna().all()
    assert markdown(grid.table(differences=True)).count("+0.00") == len(numbers)
    assert "DPH with AlexNet is inferred" in grid.table().caption


def test_goals_share_a_table_and_each_has_its_own_best_attack() -> None:
    (grid,) = filled(as_results(PAPER.numbers[PAPER.numbers["table"] == "saat1"]), "saat1")
    best = grid.numbers[grid.numbers["best"]]
    found = best.set_index(["dataset", "bits", "metric"])["attack"]
    assert found["FLICKR-25K", "16", "MAP@5000"] == "SAAT", "the lowest"
    assert found["MS-COCO", "64", "t-MAP@5000"] == "SAAT"
    assert found["NUS-WIDE", "16", "t-MAP@5000"] == "ProS-GAN"
    assert len(found) == 2 * 12
    texts = grid.table().texts
    attacks = ["Original", "HAG", "SDHA", "SAAT"], ["P2P", "DHTA", "ProS-GAN", "THA", "SAAT"]
    rows = zip(GOALS, attacks, strict=True)
    assert texts.index.tolist() == [(metric, one) for metric, listed in rows for one in listed]
    lengths = ("16", "32", "48", "64")
    wanted = [(one, bits) for one in ("FLICKR-25K", "NUS-WIDE", "MS-COCO") for bits in lengths]
    assert [tuple(key) for key in texts.columns] == wanted
    caption = grid.table().caption
    assert "unique-disjoint target labels and the queries' own labels" in caption


def test_what_is_scored_at_another_k_is_not_compared() -> None:
    other = made("dhta", "t-MAP@5000", 80.0, top=None, dataset="FLICKR-25K")
    twelve = made("dhta", "t-MAP@5000", 80.0, bits="12", dataset="FLICKR-25K")
    for results in (frame([other]), frame([twelve]).assign(victim_backbone="VGG11")):
        assert not len(differences(results, PAPER, Names(results)))
        assert not len(differences(results, OLDER, Names(results)))
    assert not filled(frame([other]), "saat1")


def test_the_suites_cross_every_number_of_their_tables() -> None:
    for name in ("saat1", "saat2"):
        suite = load_suite(name)
        numbers = PAPER.numbers[PAPER.numbers["table"] == name]
        assert {entry.dataset for entry in suite.datasets} == set(numbers["dataset"])
        crossed = {(one.defence, str(bits)) for one in suite.targets for bits in one.bits}
        assert crossed == set(zip(numbers["defence"], numbers["bits"], strict=True))
        assert {one for entry in suite.targets for one in entry.method} == {"DPH"}
        assert {one for entry in suite.targets for one in entry.backbone} == {"AlexNet"}
        listed = {PAPER.attacks.get(entry.attack) for entry in suite.attacks}
        assert set(numbers["attack"]) <= listed
        (target, *_) = suite.targets
        assert target.normalise == "imagenet"
        assert (target.training.learning_rate, target.training.momentum) == (0.01, 0.9)
        assert (target.training.weight_decay, target.training.epochs) == (5e-4, 100)


def test_defended_hashers_are_skipped_with_the_reason(cache: Path) -> None:
    changes = {"scale": "mini", "datasets": "digits"}
    plan = make_plan(load_suite("saat2", changes), cache)
    assert not plan.jobs
    assert len(plan.cells) == 2 * 4 * 4
    reasons = {cell.row["victim"]: cell.skipped for cell in plan.cells}
    wanted = "no defence is implemented, so there is no DPH-AlexNet-16-ATRDH"
    assert reasons["DPH-AlexNet-16-ATRDH"] == wanted
    assert {cell.row["victim_defence"] for cell in plan.cells} == {"ATRDH", "SAAT"}
    rows = frame([{**cell.row, "status": "skipped"} for cell in plan.cells])
    (grid,) = filled(rows, "saat2")
    assert set(grid.numbers["status"]) == {"skipped"}
