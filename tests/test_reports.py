"""Leaderboards: ranking within budget classes, marks, escapes, and LaTeX that compiles."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hashattack.benchmark.columns import DTYPES
from hashattack.benchmark.results.manifest import galleries, retrieval_curves
from hashattack.reports.drawings import Drawings
from hashattack.reports.figures import draw_figures
from hashattack.reports.leaderboard import Board, Line, leaderboards
from hashattack.reports.results import load_results
from hashattack.reports.sweeps import ablation_points, alpha_points
from hashattack.reports.tables import latex, markdown, plain
from hashattack.reports.uncertainty import Difference
from tests.conftest import SmokeRun
from tests.fake_runs import described


def row(attack: str, source: str, t_map: float | None, **changes: Any) -> dict[str, Any]:
    blank = dict.fromkeys(DTYPES)
    return {
        **blank,
        **described(attack, source, str(changes.get("victim", source))),
        **{"dataset": "digits", "title": attack.upper(), "overrides": ""},
        **{"variant": ""},
        **{"policy": "frequent", "protocol": "released"},
        **{"target_seed": 0, "draw_seed": 0, "attack_seed": 0, "n_queries": 10},
        **{"status": "ok", "reason": "", "t_map": t_map, "map": 0.5, "chance": 0.25},
        **{"chance_map": 0.2, "linf": 0.03, "perceptibility": 0.02, "budget_class": "8/255"},
        **{"seconds_per_image": 0.01},
        **changes,
    }


def frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(DTYPES))


def example() -> pd.DataFrame:
    rows = []
    for source, base in (("A-12", 0.0), ("B-12", 0.1)):
        rows += [
            row("original", source, 0.3 + base, budget_class="reference"),
            row("weak", source, 0.5 + base),
            row("strong", source, 0.8 + base),
            row("loud", source, 0.85 + base, budget_class="unbounded"),
            row("prototype-code", source, 0.9 + base, budget_class="code", linf=None),
        ]
    rows.append(row("partial", "A-12", 0.99))
    return frame(rows)


class Sure:
    """A judge to whom every difference is a fact, or none is."""

    def __init__(self, p: float = 0.0) -> None:
        self._p = p

    def interval(self, scores: Sequence[str]) -> tuple[float, float]:
        return 0.123, 0.987

    def p_value(self, scores: Sequence[str], others: Sequence[str]) -> float:
        return self._p

    def difference(self, scores: Sequence[str], others: Sequence[str]) -> Difference:
        return Difference(0.1, 0.05, 0.15, self.p_value(scores, others))


def board_of(rows: pd.DataFrame, p: float = 0.0) -> Board:
    (board,) = leaderboards(rows, Sure(p))
    return board


def lines_of(board: Board) -> dict[str, Line]:
    return {line.attack: line for group in board.groups for line in group.lines}


def test_ranks_are_within_budget_classes_and_need_every_target() -> None:
    board = board_of(example())
    titles = [group.title for group in board.groups]
    assert titles == ["no attack", "8/255", "none declared", "code only"]
    lines = lines_of(board)
    assert {name: str(line.standing) for name, line in lines.items() if line.standing} == {
        **{"STRONG": "1", "WEAK": "2", "LOUD": "1", "PROTOTYPE-CODE": "1"}
    }
    assert lines["STRONG"].mean == pytest.approx(0.85)
    assert lines["STRONG"].over_original == pytest.approx(0.5)
    assert lines["STRONG"].gain == pytest.approx(0.5 / 0.6)
    assert lines["Chance"].mean == pytest.approx(0.25)
    assert lines["PARTIAL"].mean is None


def test_an_attack_on_some_targets_says_so_and_has_no_averages() -> None:
    board = board_of(example())
    partial = lines_of(board)["PARTIAL"]
    assert partial.note == "on 1 of 2 targets"
    assert partial.t_map == {"A-12": 0.99}
    for name in ("mean", "over_original", "gain", "map", "perceptibility", "linf"):
        assert getattr(partial, name) is None, name
    assert partial.seconds_per_image is None
    for text in (markdown([board]), plain([board]), latex([board])):
        (line,) = (line for line in text.splitlines() if "PARTIAL" in line)
        assert "on 1 of 2 targets" in line
        assert "99.00" in line
        assert "50.00" not in line, "its MAP, over one target"


def test_what_no_test_tells_apart_shares_its_rank_in_every_notation() -> None:
    board = board_of(example(), p=1.0)
    lines = lines_of(board)
    assert [str(lines[name].standing) for name in ("STRONG", "WEAK")] == ["1=", "1="]
    for text in (markdown([board]), plain([board]), latex([board])):
        for name in ("STRONG", "WEAK"):
            (line,) = (line for line in text.splitlines() if name in line)
            assert "1=" in line.replace(" ", "").replace("|", " ")
            assert "12.30 to 98.70" in line, "the interval of its mean"


def test_a_terminal_shows_no_markup() -> None:
    rows = example()
    rows["title"] = rows["title"].replace("WEAK", "my_attack")
    rows.loc[0, "seconds_per_image"] = 0.0001
    rows.loc[5, "seconds_per_image"] = 0.0001
    text = plain([board_of(rows)])
    assert "my_attack" in text
    assert "< 0.001" in text
    for mark in ("\\", "<u>", "**"):
        assert mark not in text


def test_seeds_are_averaged_and_a_failed_one_leaves_no_rank() -> None:
    rows = [row("original", "A-12", 0.3, budget_class="reference")]
    rows += [row("x", "A-12", value, draw_seed=n) for n, value in enumerate((0.4, 0.6))]
    rows += [row("y", "A-12", 0.9), row("y", "A-12", None, draw_seed=1, status="failed")]
    rows[-1]["reason"] = "craft Y: no luck"
    board = board_of(frame(rows))
    lines = lines_of(board)
    assert lines["X"].mean == pytest.approx(0.5)
    assert lines["Y"].standing is None
    assert lines["Y"].note == "1 of 2 cells without a result"
    assert board.problems == ["failed: Y on A-12: craft Y: no luck"]
    assert "craft Y: no luck" in markdown([board])


def test_the_best_is_bold_and_the_second_underlined_in_both_notations() -> None:
    board = board_of(example())
    text = markdown([board])
    strong = next(line for line in text.splitlines() if "STRONG" in line)
    assert "<u>80.00</u>" in strong  # the partial line is better on that target
    assert "**90.00**" in strong
    assert "**85.00**" in strong
    weak = next(line for line in text.splitlines() if "WEAK" in line)
    assert "<u>60.00</u>" in weak
    assert "**" not in weak
    tex = latex([board])
    assert r"\underline{60.00}" in tex
    assert r"\textbf{85.00}" in tex
    original = next(line for line in text.splitlines() if "ORIGINAL" in line)
    assert "**" not in original


@pytest.mark.parametrize("name", ["<b>x</b>|y_z", r"a&b%c$d#e{f}~g^h\i"])
def test_hostile_names_stay_text(name: str) -> None:
    rows = example()
    rows["title"] = rows["title"].replace("WEAK", name)
    board = board_of(rows)
    for line in markdown([board]).splitlines():
        if line.startswith("|"):
            assert line.replace(r"\|", "").count("|") == markdown([board]).splitlines()[4].count(
                "|"
            )
    assert "<b>" not in markdown([board])
    compile_latex(latex([board]), None)


def compile_latex(body: str, folder: Path | None) -> None:
    """Compile with a TeX engine where there is one, and check braces everywhere."""
    plain = body.replace(r"\{", "").replace(r"\}", "")
    assert plain.count("{") == plain.count("}")
    engine = shutil.which("tectonic") or shutil.which("pdflatex")
    if engine is None or folder is None:
        return
    document = (
        "\\documentclass{article}\\usepackage{booktabs}\n"
        f"\\begin{{document}}\n{body}\n\\end{{document}}\n"
    )
    (folder / "table.tex").write_text(document, encoding="utf-8")
    done = subprocess.run(
        [engine, "-interaction=nonstopmode", "-halt-on-error", "table.tex"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]


def test_the_latex_leaderboard_compiles(smoke: SmokeRun, tmp_path: Path) -> None:
    text = (smoke.out / "report" / "leaderboard.tex").read_text(encoding="utf-8")
    compile_latex(text, None)
    if shutil.which("pdflatex") is None:
        pytest.skip("no TeX engine here")
    compile_latex(text, tmp_path)


def test_figures_need_results_and_name_every_attack(smoke: SmokeRun, tmp_path: Path) -> None:
    empty, drawings = pd.DataFrame(), Drawings(tmp_path)
    without = example().assign(perceptibility=float("nan"), seconds_per_image=float("nan"))
    assert draw_figures(without, empty, empty, drawings) == []
    svg = smoke.out / "report" / "figures" / "t_map_against_perceptibility.svg"
    seen = load_results(smoke.out)
    for title in seen.loc[seen["perceptibility"].notna(), "title"]:
        assert f">{title}</text>" in svg.read_text(encoding="utf-8")
    assert svg.with_suffix(".pdf").read_bytes().startswith(b"%PDF")


def test_curves_start_at_precision_and_end_at_prevalence(smoke: SmokeRun) -> None:
    points = pd.DataFrame(retrieval_curves(smoke.out))
    results = load_results(smoke.out).set_index(["attack", "source"])
    last = points[points["top"] == points["top"].max()]
    assert len(last) == len(results)
    for point in last.itertuples():
        assert point.recall == pytest.approx(1.0)
        chance = results.loc[(point.attack, point.source), "chance"]  # a little above prevalence
        assert point.precision == pytest.approx(chance, abs=0.01)
    assert (points.groupby(["attack", "source"])["recall"].diff().dropna() >= -1e-12).all()


def test_pictures_are_of_queries_drawn_by_seed_and_show_what_was_scored(smoke: SmokeRun) -> None:
    found = [(row, arrays) for row, arrays, _ in galleries(smoke.out)]
    assert {row["attack"] for row, _ in found} >= {"original", "dhta", "prosgan"}
    assert len({arrays["rows"].tobytes() for _, arrays in found}) == 1, "the same queries"
    for row, arrays in found:
        change = arrays["adversarial"].astype(int) - arrays["query"].astype(int)
        if row["attack"] == "original":
            assert not change.any()
            assert (arrays["before_hits"] == arrays["after_hits"]).all()
            assert (arrays["before"] == arrays["after"]).all()
        elif row["epsilon"] is not None:
            assert 0 < abs(change).max() <= 8
    drawn = list((smoke.out / "report" / "galleries").glob("*.png"))
    assert len(drawn) == len(found)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_figure_4_needs_its_rows_and_takes_no_others(tmp_path: Path) -> None:
    def gan(
        attack: str, title: str, t_map: float, alpha: float = 50, **more: Any
    ) -> dict[str, Any]:
        params = f'{{"alpha":{alpha}}}'
        return row(attack, "DPSH-X-12", t_map, title=title, params=params, **more)

    swept = [
        gan("prosgan", "ProS-GAN", 0.9 - alpha / 1000, alpha, variant=f"alpha={alpha}")
        for alpha in (10, 100)
    ]
    plain = [gan("prosgan", "ProS-GAN", 0.8), gan("prosgan1", "ProS-GAN1", 0.7)]
    assert not len(alpha_points(frame(plain)))
    assert not len(ablation_points(frame(plain + swept))), "GAN is missing"
    whole = frame([*plain, *swept, gan("gan", "GAN", 0.3), row("original", "DPSH-X-12", 0.25)])
    points = alpha_points(whole)
    assert sorted(points["alpha"]) == [10, 50, 100]
    assert set(points["original"]) == {0.25}
    assert sorted(ablation_points(whole)["t_map"]) == [0.3, 0.7, 0.8]
    drawn = {
        path.name
        for figure in draw_figures(whole, pd.DataFrame(), pd.DataFrame(), Drawings(tmp_path))
        for path in figure.files
    }
    assert {"alpha_sweep.svg", "ablation.svg"} <= drawn


def test_only_changed_figures_are_drawn_again(tmp_path: Path) -> None:
    made: list[str] = []

    def draw(drawings: Drawings, name: str, *shows: object) -> None:
        def make() -> dict[str, bytes]:
            made.append(name)
            return {name: b"picture"}

        drawings.draw([name], list(shows), make)

    table = pd.DataFrame({"t_map": [0.1, 0.2]})
    for change in ({}, {}, {"t_map": [0.1, 0.3]}):
        drawings = Drawings(tmp_path)
        draw(drawings, "table", table.assign(**change))
        draw(drawings, "array", np.zeros(3), "title")
        drawings.remember()
    assert made == ["table", "array", "table"]
    (tmp_path / "array").unlink()
    draw(Drawings(tmp_path), "array", np.zeros(3), "title")
    assert made[-1] == "array", "a file that is gone is drawn again"
    draw(Drawings(tmp_path), "array", np.ones(3), "title")
    assert len(made) == 5
