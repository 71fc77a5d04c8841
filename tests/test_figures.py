"""The data behind figures, by hand: means, fronts, transfer, code lengths, differences, panels."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from hashattack.benchmark.columns import COLUMNS
from hashattack.reports.figures import draw_figures
from hashattack.reports.grids import differences
from hashattack.reports.leaderboard import leaderboards
from hashattack.reports.names import Names
from hashattack.reports.points import (
    bits_rows,
    curve_points,
    loss_points,
    means,
    panel_names,
    pareto_front,
    scored,
    side_by_side_rows,
    sweep_rows,
    trade_off_rows,
    transfer_points,
    with_training,
)
from hashattack.reports.published import papers, tables
from hashattack.reports.results import Runs
from hashattack.reports.uncertainty import Scores, Uncertainty
from tests.conftest import SmokeRun
from tests.fake_runs import Sure, frame, row


def labelled(rows: list[dict[str, Any]]) -> pd.DataFrame:
    results = frame(rows)
    return scored(results.assign(label=Names(results).labels(results)), COLUMNS["t_map"])


def test_a_report_has_figures_that_name_every_attack(smoke: SmokeRun) -> None:
    svg = smoke.out / "report" / "figures" / "t_map_against_perceptibility.svg"
    seen = pd.read_csv(smoke.out / "results.csv")
    shown = seen[seen["perceptibility"].notna() & (seen["role"] != "no-attack")]
    for title in shown["title"]:
        assert f">{title}</text>" in svg.read_text(encoding="utf-8")
    assert ">no attack</text>" in svg.read_text(encoding="utf-8"), "a level with a legend"


def test_figures_drawn_again_are_the_same_files_with_a_summary(
    smoke: SmokeRun, tmp_path: Path
) -> None:
    runs, none = Runs([smoke.out]), pd.DataFrame()
    some: Any = SimpleNamespace(results=runs.results, cells=runs.cells, losses=none, curves=none)
    names, uncertainty = Names(runs.cells), Uncertainty(runs)
    boards = leaderboards(runs.results, names, uncertainty)
    pictures = draw_figures(some, names, boards, uncertainty, tmp_path)
    assert [picture.name for picture in pictures] == [
        "forest",
        *(f"t_map_against_{name}" for name in ("perceptibility", "passes_per_image")),
        *(f"t_map_against_{name}" for name in ("training", "bits")),
    ]
    (passes,) = (one for one in pictures if one.name == "t_map_against_passes_per_image")
    assert "Without passes per image: ProS-GAN." in passes.reading
    for picture in pictures:
        assert "%" in picture.summary
        assert picture.reading
        for file in picture.files:
            again = (smoke.out / "report" / "figures" / file.name).read_bytes()
            assert file.read_bytes() == again, file.name


def test_means_are_over_seeds_then_hashers_and_leave_out_who_lacks_one() -> None:
    rows = labelled(
        [
            row("dhta", "A-12", 0.4, draw_seed=0, job_key="a"),
            row("dhta", "A-12", 0.6, draw_seed=1, job_key="b"),
            row("dhta", "B-12", 0.9, job_key="c"),
            row("p2p", "A-12", 0.3, job_key="d"),
        ]
    )
    asked: list[Scores] = []

    def interval(jobs: Scores) -> tuple[float, float]:
        asked.append(jobs)
        return 0.5, 0.8

    uncertainty = Sure()
    uncertainty.interval = interval  # type: ignore[assignment]
    together = means(rows.assign(panel="all"), ["score"], uncertainty)
    assert list(together["label"]) == ["DHTA"]
    assert together["score"].tolist() == pytest.approx([0.7])
    assert together[["low", "high"]].to_numpy().tolist() == [[0.5, 0.8]]
    assert asked == [("a", "b", "c")]
    uncertainty.interval = lambda _: None  # type: ignore[assignment]
    assert means(rows.assign(panel="all"), ["score"], uncertainty)["low"].isna().all()
    apart = means(rows.assign(panel=rows["source"]), ["score"], uncertainty)
    assert apart.set_index(["panel", "label"])["score"].to_dict() == pytest.approx(
        {("A-12", "DHTA"): 0.5, ("A-12", "P2P"): 0.3, ("B-12", "DHTA"): 0.9}
    )


def test_trade_offs_are_of_rows_with_a_value_and_costs_of_attacks() -> None:
    results = frame(
        [
            row("original", "A-12", 0.3),
            row("noise", "A-12", 0.3),
            row("dhta", "A-12", 0.5),
            row("prototype-code", "A-12", 0.9, perceptibility=None, seconds_per_image=None),
        ]
    )
    seen = trade_off_rows(results, COLUMNS["perceptibility"])
    assert list(seen["attack"]) == ["original", "noise", "dhta"]
    cost = trade_off_rows(results, COLUMNS["seconds_per_image"])
    assert list(cost["attack"]) == ["original", "dhta"]


def test_training_is_spread_over_the_queries() -> None:
    results = frame([row("a", "A-12", 0.5, fit_seconds=30.0), row("b", "A-12", 0.5)])
    assert with_training(results).tolist() == pytest.approx([0.01 + 30 / 10, 0.01])


def test_the_front_is_what_nothing_beats_at_its_cost() -> None:
    points = pd.DataFrame(
        {"cost": [3.0, 1.0, 2.0, 2.0, 4.0], "score": [0.6, 0.5, 0.4, 0.7, 0.9]}, index=list("abcde")
    )
    assert list(pareto_front(points, "cost", 1).index) == ["b", "d", "e"]


def test_transfer_is_of_attacks_that_cross_and_gains_over_the_victims_original() -> None:
    one, two = "DPSH-A-12", "DPSH-B-12"
    results = labelled(
        [
            row("original", one, 0.3),
            row("original", two, 0.2),
            row("noise", one, 0.31),
            row("dhta", one, 0.8),
            row("dhta", one, 0.5, victim=two),
            row("dhta", one, 0.7, victim=two, draw_seed=1),
            row("dhta", two, None, status="failed"),
        ]
    )
    found = transfer_points(results, 1)
    points = found.set_index(["source", "victim"])
    assert set(points["label"]) == {"DHTA"}
    assert points.loc[(one, one), "score"] == pytest.approx(0.8)
    assert points.loc[(one, two), "score"] == pytest.approx(0.6)
    assert points.loc[(one, two), "gain"] == pytest.approx(0.4)


def test_code_lengths_need_hashers_that_differ_in_nothing_else() -> None:
    sources = ("DPSH-A-12", "DPSH-A-32", "DPSH-B-12")
    rows = bits_rows(frame([row("dhta", source, 0.5) for source in sources]))
    assert sorted(rows["source"]) == ["DPSH-A-12", "DPSH-A-32"]


def test_differences_are_measured_minus_published() -> None:
    more: dict[str, Any] = {"dataset": "FLICKR-25K", "title": "DHTA"}
    results = frame(
        [
            row("dhta", "DPSH-VGG11-32", 0.8, t_map_stable=0.8, **more),
            row("mine", "DPSH-VGG11-32", 0.9, t_map_stable=0.9, dataset="FLICKR-25K"),
        ]
    )
    paper, _ = tables()["table1"]
    points = differences(results, paper, Names(results))
    assert set(points["attack"]) == {"DHTA"}
    (difference,) = points.loc[points["metric"] == "t-MAP (points)", "difference"]
    assert difference == pytest.approx(80 - 88.35)
    mine = results[results["attack"] == "mine"]
    assert not len(differences(mine, paper, Names(mine)))


def test_figure_4_needs_its_rows_and_takes_no_others() -> None:
    def gan(attack: str, t_map: float, alpha: float = 50, **more: Any) -> dict[str, Any]:
        return row(attack, "DPSH-X-12", t_map, params=f'{{"alpha":{alpha}}}', **more)

    ablation, alpha = (layout for paper in papers() for layout in paper.figures)
    swept = [gan("prosgan", 0.9 - n / 1000, n, variant=f"alpha={n}") for n in (10, 100)]
    plain = [gan("prosgan", 0.8), gan("prosgan1", 0.7)]
    assert not len(sweep_rows(labelled(plain), alpha))
    assert not len(side_by_side_rows(labelled(plain + swept), ablation)), "GAN is missing"
    whole = labelled([*plain, *swept, gan("gan", 0.3), row("original", "DPSH-X-12", 0.25)])
    points = sweep_rows(whole, alpha)
    assert sorted(points["alpha"]) == [10, 50, 100]
    assert set(points["no_attack"]) == {0.25}
    bars = side_by_side_rows(whole, ablation)
    assert list(bars["score"]) == [0.3, 0.7, 0.8], "in the order of the figure"


def test_many_hashers_share_panels_and_their_curves_are_means() -> None:
    sources = [f"DPSH-{net}-{bits}" for net in "ABCDE" for bits in (12, 24, 32)]
    rows = frame([row("dhta", source, 0.5) for source in sources])
    assert sorted(panel_names(rows[:12])) == sorted(sources[:12])
    assert set(panel_names(rows)) == {f"DPSH-{net}" for net in "ABCDE"}
    many = frame([row("dhta", f"DPSH-net{n}-12", 0.5) for n in range(len(rows))])
    assert set(panel_names(many)) == {"all hashers"}
    curves = many.drop(columns="top").merge(pd.DataFrame({"top": [1, 10, 100]}), how="cross")
    curves["label"] = "DHTA"
    curves["recall"] = curves["top"] / 100
    curves["precision"] = [0.2 + 0.04 * (n // 3) for n in range(len(curves))]
    points = curve_points(curves)
    assert points["top"].tolist() == [1, 10, 100]
    assert points["precision"].tolist() == pytest.approx([0.2 + 0.04 * 7] * 3)


def test_losses_of_one_epoch_are_no_curve() -> None:
    keys = {"label": "GAN", "source": "A-12", "attack_seed": 0}
    losses = pd.DataFrame(
        [{**keys, "loss": "hash", "epoch": epoch, "value": 0.5} for epoch in (1, 2)]
        + [{**keys, "loss": "once", "epoch": 1, "value": 0.5}]
    )
    assert set(loss_points(losses)["loss"]) == {"hash"}
