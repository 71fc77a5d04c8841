"""The speed measurements run, compute what they compare, and judge by the ratio they print."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hashattack.attacks.gradient import ProjectedGradient
from hashattack.benchmark.metrics import mean_average_precision
from hashattack.benchmark.perf.comparison import Comparison, Way, compare
from hashattack.benchmark.perf.measure import comparisons
from hashattack.benchmark.perf.networks import Scene
from hashattack.benchmark.perf.ranking import plain_ap
from hashattack.datasets.seeds import generator
from hashattack.targets.backbones import Tiny
from tests.conftest import run_cli


def test_the_small_size_measures_everything(tmp_path: Path) -> None:
    kept = tmp_path / "perf.json"
    done = run_cli("perf", "--size", "small", "--json", str(kept))
    assert done.returncode == 0, done.stderr
    written = json.loads(kept.read_text(encoding="utf-8"))
    assert {"torch", "device", "threads", "processor", "cores"} <= set(written["machine"])
    made = written["comparisons"]
    assert {one["name"].split(",")[0] for one in made} == {
        *("ranking", "crafting", "transfer", "encoding")
    }
    for one in made:
        assert len(one["ours_seconds"]) == len(one["other_seconds"]) == 2
        assert 0 < one["spread"][0] <= one["ratio"] <= one["spread"][1]
        assert one["name"] in done.stdout
    facts = {name: value for one in made for name, value in one["facts"].items()}
    assert facts["largest error of the stable AP"] < 1e-9
    assert facts["share of equal bits"] > 0.9


def test_a_part_can_be_measured_alone() -> None:
    names = [one.name for one in comparisons("small", ["encoding"], torch.device("cpu"))]
    assert names
    assert all(name.startswith("encoding") for name in names)


def compared(kind: str, wanted: float | None) -> Comparison:
    return Comparison("a", "ours", "other", "unit", kind, (1, 2, 4), (2, 8, 12), wanted)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "wanted", "ratio", "outcome"),
    [
        ("speed-up", 3, 3, "at least 3"),
        ("speed-up", 3.5, 3, "at least 3.5: MISSED"),
        ("overhead", 0.4, 1 / 3, "at most 0.4"),
        ("overhead", 0.3, 1 / 3, "at most 0.3: MISSED"),
        ("overhead", None, 1 / 3, ""),
    ],
)
def test_a_ratio_is_judged_by_its_kind(
    kind: str, wanted: float | None, ratio: float, outcome: str
) -> None:
    one = compared(kind, wanted)
    assert one.ratio == pytest.approx(ratio)
    assert one.outcome == outcome


def test_ways_take_turns_after_one_call_each() -> None:
    calls: list[str] = []
    ours, other = (Way(name, functools.partial(calls.append, name), 4) for name in "ab")
    made = compare("turns", ours, other, 3, "call", "speed-up")
    assert "".join(calls) == "ab" + "ab" + "ba" + "ab"
    assert [len(one) for one in (made.ours_seconds, made.other_seconds)] == [3, 3]


def test_the_plain_ranking_is_the_metric_where_no_two_distances_are_equal() -> None:
    draws = generator(0, "perf-test")
    database = -np.ones((31, 31), dtype=np.int8)
    database[np.tril_indices(31)] = 1  # distances 0 to 30 from a query of ones
    database = database[draws.permutation(31)]
    query = np.ones((1, 31), dtype=np.int8)
    targets, labels = (draws.integers(0, 2, (n, 3)) for n in (1, 31))
    targets[0, 0] = 1
    floats = query.astype(np.float32), database.astype(np.float32)
    wanted = [mean_average_precision(query, database, targets, labels)]
    assert plain_ap(*floats, targets, labels) == pytest.approx(wanted)


def test_the_plain_crafting_takes_the_same_steps() -> None:
    scene = Scene(Tiny(), side=32, batch=3, steps=3, device=torch.device("cpu"))
    usual = scene.usual()
    ours = scene.loop("full", ProjectedGradient(steps=3, rule="sign", step_size=1 / 255))()
    assert (usual - scene.images).abs().max() > 2 / 255
    assert ((usual - ours).abs() < 1e-6).float().mean() > 0.99  # the signs of tiny gradients differ
