"""By how much an attack beats another: as ``check`` finds for a cell, on the page of every run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hashattack.benchmark.regression.comparison import Pair, compare
from hashattack.benchmark.regression.trials import read_trials
from hashattack.benchmark.statistics import Estimate, estimate
from hashattack.benchmark.store.store import JobRef, Store
from hashattack.datasets.seeds import generator
from hashattack.reports import uncertainty
from hashattack.reports.leaderboard import Board, comparisons, leaderboards
from hashattack.reports.names import Names
from hashattack.reports.report import write_report
from hashattack.reports.results import Runs
from hashattack.reports.uncertainty import Uncertainty
from tests.conftest import SmokeRun
from tests.fake_runs import PROVENANCE, cell, unsynced, write_run


def board_of(runs: Runs, uncertainty: Uncertainty) -> Board:
    (board,) = leaderboards(runs.results, Names(runs.cells), uncertainty)
    return board


def test_a_difference_is_what_check_finds_for_the_cell(smoke: SmokeRun, tmp_path: Path) -> None:
    runs = Runs([smoke.out])
    target = "DPSH-Tiny-12"
    trials = {
        one.row["attack"]: one for one in read_trials(smoke.out) if one.row["source"] == target
    }
    keep = Uncertainty(runs)
    for name in ("p2p", "dhta-fgsm", "prosgan"):
        pair = Pair(trials[name], trials["dhta"])
        (wanted,) = compare([pair])[0].cells
        ours, theirs = ((one.jobs["score"],) for one in (pair.candidate, pair.reference))
        found = keep.difference(ours, theirs)
        assert (found.mean, found.low, found.high) == pytest.approx(
            (wanted.difference, wanted.low, wanted.high), abs=1e-5
        )
        assert found.p == wanted.p == keep.p_value(ours, theirs)


def test_dhta_comes_first_then_the_best_of_every_budget(smoke: SmokeRun, tmp_path: Path) -> None:
    runs = Runs([smoke.out])
    board = board_of(runs, Uncertainty(runs))
    found = comparisons(board, Uncertainty(runs))
    best = [group.lines[0].facts["attack"] for group in board.groups if group.ranked]
    ids = [one.reference.facts["attack"] for one in found]
    assert ids[0] == "dhta"
    assert set(ids) == {"dhta", *best}
    assert len(ids) == len(set(ids))
    for one in found:
        others = {rival.line.facts["attack"] for rival in one.rivals}
        assert one.reference.facts["attack"] not in others
        assert others.isdisjoint({"original", "noise"})
        for rival in one.rivals:
            difference = rival.line.values["t_map"] - one.reference.values["t_map"]
            assert rival.difference.mean == pytest.approx(difference)
            assert rival.difference.low <= rival.difference.mean <= rival.difference.high


@pytest.mark.usefixtures("no_figures")
def test_an_attack_on_fewer_targets_is_compared_on_those(tmp_path: Path) -> None:
    cells = [cell("dhta", source, mean) for source, mean in (("X-12", 0.4), ("Y-12", 0.8))]
    with unsynced():
        write_run(tmp_path, [*cells, cell("mine", "X-12", 0.6)])
        written = write_report([tmp_path], formats=["html"])
    runs = Runs([tmp_path])
    board = board_of(runs, Uncertainty(runs))
    (against,) = comparisons(board, Uncertainty(runs))
    (rival,) = against.rivals
    means = runs.results.set_index(["attack", "source"])["t_map"]
    wanted = means[("mine", "X-12")] - means[("dhta", "X-12")]
    assert rival.targets == 1
    assert rival.difference.mean == pytest.approx(wanted)
    assert written.page is not None
    page = written.page.read_text(encoding="utf-8")
    (table,) = re.findall(r"<table class=\"compared\">.*?</table>", page, re.DOTALL)
    assert f"{100 * wanted:+.2f}" in table
    assert "1 of 2" in table
    assert "on 1 of 2 hashers" in page


def test_two_thousand_cells_cost_one_comparison_an_attack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def counted(*arguments: Any, **named: Any) -> Estimate:
        asked.append(named)
        return estimate(*arguments, **named)

    sources = [f"DPSH-Net{number}-12" for number in range(200)]
    with unsynced():
        write_run(
            tmp_path,
            [cell(f"a{n}", source, 0.3 + 0.05 * n) for source in sources for n in range(10)],
        )
    runs = Runs([tmp_path])
    keep = Uncertainty(runs)
    board = board_of(runs, keep)
    monkeypatch.setattr(uncertainty, "estimate", counted)
    (against,) = comparisons(board, keep)
    assert len(against.rivals) == 9
    assert len(asked) == 9


def test_queries_of_one_target_label_stay_together_in_all_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another seed draws of the same label rows, which it does not make other ones."""
    with unsynced():
        write_run(tmp_path, [cell("a", "X-12", 0.5, draw_seed=seed) for seed in range(2)])
        rows = np.eye(8, dtype=np.uint8)[generator(0, "draws-test").integers(8, size=(2, 50))]
        for number in range(2):
            draw = JobRef("draw", f"{number:040}")
            Store(tmp_path / "store").finish(draw, {"targets": rows[number]}, {}, {}, PROVENANCE)
    runs = Runs([tmp_path])
    jobs = tuple(runs.results["job_key"])
    draws = {job: f"{number:040}" for number, job in enumerate(jobs)}
    monkeypatch.setattr(runs, "draw", draws.__getitem__)
    values = np.concatenate([runs.average_precisions(job) for job in jobs])
    wanted = estimate(values, clusters=np.concatenate(rows).argmax(axis=1), widest=(0, 1))
    assert Uncertainty(runs).interval(jobs) == pytest.approx((wanted.low, wanted.high))
