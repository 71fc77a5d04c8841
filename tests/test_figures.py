"""What figures show, by hand: fronts, transfer, code lengths, differences, panels, colours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from hashattack.benchmark.columns import DTYPES
from hashattack.reports.deltas import delta_points
from hashattack.reports.figures import retrieval
from hashattack.reports.palette import colours, dashes, markers
from hashattack.reports.sweeps import panel_names
from hashattack.reports.tradeoffs import bits_points, log_ticks, pareto_front
from hashattack.reports.transfers import transfer_map, transfer_points
from tests.fake_runs import described

KNOWN = (
    *("Original", "Noise", "P2P", "DHTA", "DHTA+FGSM", "DHTA+I-FGSM", "ProS-GAN"),
    *("ProS-GAN-eps", "GAN", "ProS-GAN1", "Prototype+I-FGSM", "Anchor code", "Prototype code"),
)


def row(title: str, source: str, victim: str, t_map: float, **changes: Any) -> dict[str, Any]:
    blank = dict.fromkeys(DTYPES)
    return {
        **blank,
        **described(title.lower(), source, victim),
        **{"dataset": "digits", "dataset_fingerprint": "f"},
        **{"title": title, "variant": "", "overrides": "", "params": "{}"},
        **{"policy": "frequent", "protocol": "released", "status": "ok"},
        **{"n_queries": 10, "t_map": t_map},
        **{"t_map_stable": t_map, "draw_seed": 0},
        **changes,
    }


def frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(DTYPES)).astype(DTYPES)


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
    results = frame(
        [
            row("Original", one, one, 0.3),
            row("Original", two, two, 0.2),
            row("Noise", one, one, 0.31),
            row("DHTA", one, one, 0.8),
            row("DHTA", one, two, 0.5),
            row("DHTA", one, two, 0.7, draw_seed=1),
            row("DHTA", two, two, None, status="failed"),  # type: ignore[arg-type]
        ]
    )
    points = transfer_points(results).set_index(["source", "victim"])
    assert set(points["attack"]) == {"DHTA"}
    assert points.loc[(one, one), "t_map"] == pytest.approx(0.8)
    assert points.loc[(one, two), "t_map"] == pytest.approx(0.6)
    assert points.loc[(one, two), "gain"] == pytest.approx(0.4)
    figure = transfer_map(transfer_points(results), "t_map")
    texts = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert sorted(texts) == ["60", "80"]


def test_code_lengths_need_hashers_that_differ_in_nothing_else() -> None:
    results = frame(
        [row("DHTA", source, source, 0.5) for source in ("DPSH-A-12", "DPSH-A-32", "DPSH-B-12")]
    )
    points = bits_points(results)
    assert sorted(points["source"]) == ["DPSH-A-12", "DPSH-A-32"]
    assert set(points["hasher"]) == {"DPSH-A"}


def test_differences_are_measured_minus_published() -> None:
    target = "DPSH-VGG11-32"
    results = frame(
        [
            row("DHTA", target, target, 0.8, dataset="FLICKR-25K", attack="dhta"),
            row("Mine", target, target, 0.9, dataset="FLICKR-25K", attack="mine"),
        ]
    )
    points = delta_points(results)
    assert set(points["attack"]) == {"DHTA"}
    (difference,) = points.loc[points["metric"] == "t-MAP", "difference"]
    assert difference == pytest.approx(80 - 88.35)
    assert not len(delta_points(results[results["attack"] == "mine"]))


def test_many_targets_share_panels_and_their_curves_are_means() -> None:
    sources = [f"DPSH-{net}-{bits}" for net in "ABCDE" for bits in (12, 24, 32)]
    rows = pd.DataFrame({"source": sources, "policy": "p", "protocol": "r", "dataset": "d"})
    assert sorted(panel_names(rows[:12])) == sorted(sources[:12])
    assert set(panel_names(rows)) == {f"DPSH-{net}" for net in "ABCDE"}
    many = rows.assign(source=[f"DPSH-net{n}-12" for n in range(len(rows))])
    assert set(panel_names(many)) == {"all targets"}
    curves = many.merge(pd.DataFrame({"top": [1, 10, 100]}), how="cross")
    curves["label"] = "DHTA"
    curves["recall"] = curves["top"] / 100
    curves["precision"] = [0.2 + 0.04 * (n // 3) for n in range(len(curves))]
    lines = [np.asarray(line.get_ydata()) for line in retrieval(curves, "recall").axes[0].lines]
    (drawn,) = (line for line in lines if len(line))
    assert drawn.tolist() == pytest.approx([0.2 + 0.04 * 7] * 3)


def test_each_attack_has_a_look_of_its_own_in_every_figure() -> None:
    assert len(set(markers(KNOWN).values())) == len(KNOWN)
    assert len(set(colours(KNOWN).values())) == len(KNOWN)
    drawn = [*KNOWN, "DHTA (steps=10)", "DHTA (steps=20)", "ProS-GAN (alpha=25)", "Mine"]
    looks = [(colours(drawn)[title], dashes(drawn)[title]) for title in drawn]
    assert len(set(looks)) == len(drawn)
    assert colours(drawn)["DHTA (steps=10)"] == colours(["DHTA"])["DHTA"]
    assert colours(["Mine"]) == {"Mine": colours(drawn)["Mine"]}
