"""Checks of attacks that only move away: by MAP, of their own labels, with hints that fit."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hashattack.benchmark.regression.baseline import BaselineError, freeze, read_file
from hashattack.benchmark.regression.check import _direction
from hashattack.benchmark.regression.comparison import Pair, compare
from hashattack.benchmark.regression.result import Outcome
from hashattack.benchmark.regression.trials import Trials
from tests.checks import Checker, made_up
from tests.conftest import run_inline, small_suite

HAG = {"attack": "hag", "params": {"steps": 3}}
DHTA = {"attack": "dhta", "params": {"steps": 2, "rule": "l2"}}


@pytest.fixture(scope="module")
def out(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with attacks of both goals."""
    folder = tmp_path_factory.mktemp("goals")
    run_inline(small_suite(attacks=["original", DHTA, HAG]), cache, folder)
    return folder


def test_a_file_keeps_what_ranks_each_goal_and_gives_the_result_of_its_folder(
    out: Path, cache: Path, tmp_path: Path
) -> None:
    file = tmp_path / "baseline.json"
    freeze(out, file, metrics=None, only=[], targets=True)
    kept = {(one.attack, one.goal): list(one.scores) for one in read_file(file).cells}
    assert kept == {
        ("original", "targeted"): ["t_map"],
        ("original", "non-targeted"): ["map"],
        ("dhta", "targeted"): ["t_map"],
        ("hag", "non-targeted"): ["map"],
    }
    for baseline in (out, file):
        result = Checker(baseline, tmp_path / f"of-{baseline.stem}", cache)("hag", only=[])
        assert result.outcome is Outcome.HELD
        assert "hag scores as its baseline on every query: MAP 0 points [0, 0]" in result.sentence


def test_attacks_of_different_goals_are_not_compared(
    out: Path, cache: Path, tmp_path: Path
) -> None:
    checked = Checker(out, tmp_path / "out", cache)
    with pytest.raises(BaselineError, match="hag is non-targeted and dhta is targeted"):
        checked("hag", against="dhta", only=[])


def trials(level: float, name: str, **columns: Any) -> Trials:
    scores = {name: np.full(40, level).tolist()}
    return made_up(np.zeros(40), **columns).model_copy(update={"scores": scores})


@pytest.mark.parametrize(
    ("goal", "metric", "level", "hint"),
    [
        (
            "non-targeted",
            "map",
            0.7,
            "score above the clean queries (MAP 0.700, clean 0.500): they",
        ),
        ("non-targeted", "map", 0.7, "they move towards the code of their own labels"),
        ("non-targeted", "map", 0.501, "score as the clean queries do (MAP 0.500)"),
        ("non-targeted", "map", 0.3, ""),
        (
            "targeted",
            "t_map",
            0.3,
            "score below the clean queries (t-MAP 0.300, clean 0.500): they",
        ),
        ("targeted", "t_map", 0.3, "they move away from the target code, as with a flipped sign"),
        ("targeted", "t_map", 0.7, ""),
    ],
)
def test_images_that_move_the_wrong_way_are_told(
    goal: str, metric: str, level: float, hint: str
) -> None:
    best = trials(0.9 if goal == "targeted" else 0.1, metric, goal=goal)
    ((cell,),) = [one.cells for one in compare([Pair(trials(level, metric, goal=goal), best)])]
    clean = trials(0.5, metric, goal=goal, role="no-attack", attack="original")
    baseline: Any = SimpleNamespace(cells=[best, clean])
    found = " ".join(_direction(cell, baseline, metric))
    assert hint in found
    assert bool(hint) == bool(found)
