"""What figures show, by hand: fronts, transfer, code lengths, differences, panels, colours."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hashattack.benchmark.columns import COLUMNS
from hashattack.reports.figures import (
    bits_points,
    draw_figures,
    side_by_side_points,
    sweep_points,
    trade_off_points,
    transfer_points,
)
from hashattack.reports.grids import differences
from hashattack.reports.leaderboard import leaderboards
from hashattack.reports.names import Names
from hashattack.reports.plots.forest import forest, forest_rows, forest_summary, levels
from hashattack.reports.plots.panels import (
    PlotStyles,
    log_ticks,
    panel_names,
    pareto_front,
    retrieval,
    side_by_side,
    sweep,
    transfer_map,
)
from hashattack.reports.published import papers, tables
from hashattack.reports.results import Runs
from hashattack.reports.uncertainty import Uncertainty
from tests.conftest import SmokeRun
from tests.fake_runs import cell, frame, row, unsynced, write_run


def labelled(rows: list[dict[str, Any]]) -> pd.DataFrame:
    results = frame(rows)
    return results.assign(label=Names(results).labels(results))


def looks_of(rows: pd.DataFrame) -> PlotStyles:
    return PlotStyles(rows, Names(rows))


def test_a_report_has_figures_that_name_every_attack(smoke: SmokeRun) -> None:
    svg = smoke.out / "report" / "figures" / "t_map_against_perceptibility.svg"
    seen = pd.read_csv(smoke.out / "results.csv")
    for title in seen.loc[seen["perceptibility"].notna(), "title"]:
        assert f">{title}</text>" in svg.read_text(encoding="utf-8")
    assert svg.with_suffix(".pdf").read_bytes().startswith(b"%PDF")


def test_figures_drawn_again_are_the_same_files(smoke: SmokeRun, tmp_path: Path) -> None:
    runs, none = Runs([smoke.out]), pd.DataFrame()
    some: Any = SimpleNamespace(results=runs.results, cells=runs.cells, losses=none, curves=none)
    names = Names(runs.cells)
    boards = leaderboards(runs.results, names, Uncertainty(runs))
    pictures = draw_figures(some, names, boards, tmp_path)
    files = [file for one in pictures for file in one.files]
    assert len(files) == 8
    for file in files:
        assert file.read_bytes() == (smoke.out / "report" / "figures" / file.name).read_bytes()


def test_the_forest_has_the_order_of_the_board(tmp_path: Path) -> None:
    cells = [cell(name, "A-12", mean) for name, mean in (("p2p", 0.5), ("dhta", 0.8))]
    cells += [cell("loud", "A-12", 0.9, budget_class="unbounded"), cell("late", "A-12", None)]
    cells += [cell("original", "A-12", 0.3, budget_class="reference")]
    cells += [cell("noise", "A-12", 0.3, budget_class="reference")]
    with unsynced():
        write_run(tmp_path, cells)
    runs = Runs([tmp_path])
    (board,) = leaderboards(runs.results, Names(runs.cells), Uncertainty(runs))
    groups = list(forest_rows(board, {}))
    assert [[row.label for row in rows] for _, rows in groups] == [
        *(["noise"], ["dhta", "p2p"], ["loud"])
    ]
    (_, (dhta, p2p)) = groups[1]
    lines = {line.name.label: line for group in board.groups for line in group.lines}
    assert dhta.value == 100 * lines["dhta"].values["t_map"]
    assert dhta.interval == pytest.approx([100 * end for end in lines["dhta"].interval or ()])
    assert (dhta.rank, dhta.best, p2p.rank, p2p.best) == ("1", True, "2", False)
    assert list(levels(board)) == ["chance", "no attack"]
    figure = forest(board, {})
    drawn = [np.asarray(line.get_xdata()).tolist() for line in figure.axes[0].lines]
    assert list(dhta.interval or ()) in drawn
    low, high = figure.axes[0].get_xlim()
    assert 0 < low < levels(board)["chance"] < 90 < high <= 100.5
    summary = forest_summary(board, {})
    assert f"L∞ ≤ 8/255: highest dhta with {dhta.value:.1f} %" in summary


def test_long_settings_have_short_names_in_figures() -> None:
    texts = ("steps=20, rule=l2", "steps=100, rule=l2")
    params = ['{"steps":20,"rule":"l2"}', '{"steps":100,"rule":"l2"}']
    pairs = zip(texts, params, strict=True)
    several = [row("dhta", "A-12", 0.5, variant=text, params=given) for text, given in pairs]
    styles = looks_of(frame([*several, row("mine", "A-12", 0.5)]))
    assert styles.settings == {"DHTA a": texts[0], "DHTA b": texts[1]}


def test_trade_offs_are_of_rows_with_a_value_and_costs_of_attacks() -> None:
    results = frame(
        [
            row("original", "A-12", 0.3),
            row("dhta", "A-12", 0.5),
            row("prototype-code", "A-12", 0.9, perceptibility=None, seconds_per_image=None),
        ]
    )
    seen = trade_off_points(results, COLUMNS["perceptibility"])
    assert list(seen["attack"]) == ["original", "dhta"]
    assert list(trade_off_points(results, COLUMNS["seconds_per_image"])["attack"]) == ["dhta"]


def test_the_front_is_what_nothing_beats_at_its_cost() -> None:
    points = pd.DataFrame(
        {"cost": [3.0, 1.0, 2.0, 2.0, 4.0], "t_map": [0.6, 0.5, 0.4, 0.7, 0.9]}, index=list("abcde")
    )
    assert list(pareto_front(points, "cost").index) == ["b", "d", "e"]


@pytest.mark.parametrize(
    ("ends", "wanted"),
    [
        ((1.9e-4, 2e-3), [0.0003, 0.0006, 0.001]),
        ((0.0015, 0.0021), [0.0016, 0.0018, 0.0019]),
        ((1e-4, 3.0), [0.001, 0.02, 0.2]),
        ((0.000751, 0.000753), [0.00075]),
    ],
)
def test_a_logarithmic_axis_has_a_few_labels(
    ends: tuple[float, float], wanted: list[float]
) -> None:
    assert log_ticks(*ends) == wanted


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
    found = transfer_points(results)
    points = found.set_index(["source", "victim"])
    assert set(points["label"]) == {"DHTA"}
    assert points.loc[(one, one), "t_map"] == pytest.approx(0.8)
    assert points.loc[(one, two), "t_map"] == pytest.approx(0.6)
    assert points.loc[(one, two), "gain"] == pytest.approx(0.4)
    figure = transfer_map(found, looks_of(results), "t_map")
    texts = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert sorted(texts) == ["60", "80"]


def test_code_lengths_need_hashers_that_differ_in_nothing_else() -> None:
    sources = ("DPSH-A-12", "DPSH-A-32", "DPSH-B-12")
    points = bits_points(frame([row("dhta", source, 0.5) for source in sources]))
    assert sorted(points["source"]) == ["DPSH-A-12", "DPSH-A-32"]


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

    (paper,) = papers()
    ablation, alpha = paper.figures
    swept = [gan("prosgan", 0.9 - n / 1000, n, variant=f"alpha={n}") for n in (10, 100)]
    plain = [gan("prosgan", 0.8), gan("prosgan1", 0.7)]
    assert not len(sweep_points(labelled(plain), alpha))
    assert not len(side_by_side_points(labelled(plain + swept), ablation)), "GAN is missing"
    whole = labelled([*plain, *swept, gan("gan", 0.3), row("original", "DPSH-X-12", 0.25)])
    points = sweep_points(whole, alpha)
    assert sorted(points["alpha"]) == [10, 50, 100]
    assert set(points["no_attack"]) == {0.25}
    bars = side_by_side_points(whole, ablation)
    assert list(bars["t_map"]) == [0.3, 0.7, 0.8], "in the order of the figure"
    assert sweep(points, looks_of(whole), "alpha").axes_dict.keys() == {"t-MAP", "perceptibility"}
    labels = side_by_side(bars, looks_of(whole)).axes[0].get_legend_handles_labels()[1]
    assert [name for name in labels if name != "Chance"] == ["GAN", "PROSGAN1", "PROSGAN"]


def test_many_targets_share_panels_and_their_curves_are_means() -> None:
    sources = [f"DPSH-{net}-{bits}" for net in "ABCDE" for bits in (12, 24, 32)]
    rows = frame([row("dhta", source, 0.5) for source in sources])
    assert sorted(panel_names(rows[:12])) == sorted(sources[:12])
    assert set(panel_names(rows)) == {f"DPSH-{net}" for net in "ABCDE"}
    many = frame([row("dhta", f"DPSH-net{n}-12", 0.5) for n in range(len(rows))])
    assert set(panel_names(many)) == {"all targets"}
    curves = many.merge(pd.DataFrame({"top": [1, 10, 100]}), how="cross")
    curves["label"] = "DHTA"
    styles = looks_of(many)
    curves["recall"] = curves["top"] / 100
    curves["precision"] = [0.2 + 0.04 * (n // 3) for n in range(len(curves))]
    grid = retrieval(curves, styles, "recall")
    lines = [np.asarray(line.get_ydata()) for line in grid.axes[0].lines]
    (drawn,) = (line for line in lines if len(line))
    assert drawn.tolist() == pytest.approx([0.2 + 0.04 * 7] * 3)


def test_each_attack_has_a_look_of_its_own() -> None:
    plain = [row(f"attack{n}", "A-12", 0.5) for n in range(10)]
    plain += [row(name, "A-12", 0.5) for name in ("original", "noise", "prototype-code")]
    styles = looks_of(frame(plain))
    assert len(set(styles.colours.values())) == len(set(styles.markers.values())) == len(plain)
    several = [
        row("dhta", "A-12", 0.5, params=f'{{"steps":{n}}}', variant=f"steps={n}") for n in (5, 9)
    ]
    styles = looks_of(frame([*several, row("mine", "A-12", 0.5)]))
    one, two = "DHTA (steps=5)", "DHTA (steps=9)"
    assert styles.colours[one] == styles.colours[two] != styles.colours["MINE"]
    assert styles.dashes[one] != styles.dashes[two]
    assert styles.markers[one] != styles.markers[two]
