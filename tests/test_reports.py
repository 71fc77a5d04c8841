"""Leaderboards: ranking within budget classes, marks, escapes, and LaTeX that compiles."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from hashattack.benchmark.columns import COLUMNS, DTYPES
from hashattack.benchmark.results.frame import load_results
from hashattack.benchmark.terminal import text_of
from hashattack.reports.leaderboard import Board, leaderboards
from hashattack.reports.lines import Line, cell_lines
from hashattack.reports.names import Names
from hashattack.reports.records import galleries, retrieval_curves
from hashattack.reports.report import write_report
from hashattack.reports.summary import latex_leaderboard, terminal_parts
from hashattack.reports.tables import leaderboards_markdown
from tests.conftest import SmokeRun
from tests.fake_runs import Sure, cell, frame, row, unsynced, write_run


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


def board_of(rows: pd.DataFrame, p: float = 0.0) -> Board:
    (board,) = leaderboards(rows, Names(rows), Sure(p))
    return board


def texts_of(board: Board) -> list[str]:
    """Return the board in every notation."""
    return [
        leaderboards_markdown([board]),
        text_of(terminal_parts([board])),
        latex_leaderboard(board),
    ]


def lines_of(board: Board) -> dict[str, Line]:
    return {line.name.title: line for group in board.groups for line in group.lines}


def test_ranks_are_within_budget_classes_and_need_every_target() -> None:
    board = board_of(example())
    titles = [group.title for group in board.groups]
    assert titles == ["no attack", "L∞ ≤ 8/255", "no budget", "codes only (a bound)"]
    lines = lines_of(board)
    assert {name: str(line.rank) for name, line in lines.items() if line.rank} == {
        **{"STRONG": "1", "WEAK": "2", "LOUD": "1", "PROTOTYPE-CODE": "1"}
    }
    assert lines["STRONG"].values["t_map"] == pytest.approx(0.85)
    assert lines["STRONG"].values["gain"] == pytest.approx(0.5)
    assert lines["STRONG"].values["share"] == pytest.approx(0.5 / 0.6)
    assert lines["Chance"].values["t_map"] == pytest.approx(0.25)
    assert not lines["PARTIAL"].values


def test_attacks_with_draws_of_their_own_are_not_ranked() -> None:
    rows = example().assign(policy="as-published", eligible_rows=[316] * 5 + [4270] * 6)
    board = board_of(rows)
    lines = lines_of(board)
    assert not any(line.rank for line in lines.values())
    assert "gain" not in lines["STRONG"].values
    assert "Chance" not in lines, "it differs"
    draws = "as-published target labels (316 to 4,270 eligible label rows, chance 25.00"
    for text, part in zip(
        texts_of(board), (draws, "as-published target labels; chance: 25.00", draws), strict=True
    ):
        assert "not ranked" in text
        assert "significant" not in text
        assert part in text
    assert not any(line.rank for line in cell_lines(rows, Names(rows), Sure()))


def test_a_shortened_protocol_is_said_wherever_it_is_named(tmp_path: Path) -> None:
    cells = [
        cell("original", "DPSH-X-12", 0.3),
        cell("dhta", "DPSH-X-12", 0.5, shortened=True, overrides="steps=10"),
        cell("dhta", "DPSH-X-12", 0.6, protocol="paper"),
    ]
    with unsynced():
        write_run(tmp_path, cells, tables=("table1",))
        written = write_report([tmp_path], formats=["md", "html"])
    page = written.page
    assert page is not None
    texts = [(written.folder / name).read_text() for name in ("leaderboard.md", "tables.md")]
    for text in (*texts, re.sub(r"<[^>]*>", "", page.read_text())):
        assert re.search(r"protocol released, shortened", text)
        assert re.search(r"protocol paper", text)
        assert not re.search(r"protocol paper, shortened", text)
    assert '<td class="text">released, shortened</td>' in page.read_text()
    assert '<td class="text">released</td>' in page.read_text(), "Original has no steps"


@pytest.mark.usefixtures("no_figures")
def test_an_undertrained_fit_is_flagged_wherever_its_row_stands(tmp_path: Path) -> None:
    rows = [
        row("weak", "A-12", 0.5, undertrained=True, fit_loss=0.954, fit_loss_untrained=0.96),
        row("weak", "B-12", 0.5, undertrained=True, fit_loss=0.954),
        row("mixed", "A-12", 0.6, undertrained=True, fit_loss=0.8),
        row("mixed", "B-12", 0.6, undertrained=False, fit_loss=0.2),
        *(row("plain", source, 0.7) for source in ("A-12", "B-12")),
    ]
    board = board_of(frame(rows))
    for text in texts_of(board):
        assert "WEAK [undertrained]" in text
        assert "MIXED [undertrained in 1 of 2 cells]" in text
        assert "PLAIN [" not in text
        assert "ndertrained: its loss was still falling, or hardly fell; try epochs: auto" in text
    lines = cell_lines(frame(rows), Names(frame(rows)), Sure())
    flags = [line.flag for line in lines if line.name.title == "MIXED"]
    assert sorted(flags) == ["", "undertrained"]
    cells = [
        cell("original", "DPSH-X-12", 0.3),
        cell("gan", "DPSH-X-12", 0.9, measured={"undertrained": True, "fit_loss": 0.954}),
        cell("dhta", "DPSH-X-12", 0.5),
    ]
    with unsynced():
        write_run(tmp_path, cells, tables=("table1",))
        written = write_report([tmp_path], formats=["md", "html"])
    page = written.page
    assert page is not None
    text = re.sub(r"<[^>]*>", "", page.read_text())
    assert page.read_text().count('<small class="flag">undertrained</small>') > 1, "board and cells"
    assert "gan (undertrained)" in text, "the headline"
    assert "Undertrained in some cells: gan." in (written.folder / "tables.md").read_text()


def test_an_attack_on_some_hashers_says_so_and_has_the_averages_of_those() -> None:
    board = board_of(example())
    partial = lines_of(board)["PARTIAL"]
    assert partial.note == "on 1 of 2 hashers"
    assert partial.by_victim == {"A-12": 0.99}
    assert not partial.values
    for text in texts_of(board):
        (line,) = (line for line in text.splitlines() if "PARTIAL" in line)
        assert "on 1 of 2 hashers" in line
        assert "99.00" in line
        assert "**99.00**" not in line.split("|")[-12:], "its mean is not compared"
        assert r"\textbf" not in line


def test_without_a_significant_difference_a_rank_is_shared_in_every_notation() -> None:
    board = board_of(example(), p=1.0)
    lines = lines_of(board)
    assert [str(lines[name].rank) for name in ("STRONG", "WEAK")] == ["1=", "1="]
    for text in texts_of(board):
        for name in ("STRONG", "WEAK"):
            (line,) = (line for line in text.splitlines() if name in line)
            assert "1=" in line.replace(" ", "").replace("|", " ")
            assert "12.30\N{EN DASH}98.70" in line.replace("--", "\N{EN DASH}"), (
                "the interval of its mean"
            )


def test_a_terminal_shows_no_markup() -> None:
    rows = example()
    rows["title"] = rows["title"].replace("WEAK", "my_attack")
    rows.loc[0, "seconds_per_image"] = 0.0001
    rows.loc[5, "seconds_per_image"] = 0.0001
    text = text_of(terminal_parts([board_of(rows)]))
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
    assert lines["X"].values["t_map"] == pytest.approx(0.5)
    assert lines["Y"].rank is None
    assert lines["Y"].note == "1 of 2 cells without a result"
    assert board.problems == ["failed: Y on A-12: craft Y: no luck"]
    assert "craft Y: no luck" in leaderboards_markdown([board])


def test_the_best_is_bold_and_the_second_underlined_in_both_notations() -> None:
    board = board_of(example())
    text = leaderboards_markdown([board])
    strong = next(line for line in text.splitlines() if "STRONG" in line)
    assert "<u>80.00</u>" in strong  # the partial line is better on that target
    assert "**90.00**" in strong
    assert "**85.00**" in strong
    weak = next(line for line in text.splitlines() if "WEAK" in line)
    assert "<u>60.00</u>" in weak
    assert "**" not in weak
    tex = latex_leaderboard(board)
    assert r"\underline{55.00}" in tex
    assert r"\textbf{85.00}" in tex
    original = next(line for line in text.splitlines() if "ORIGINAL" in line)
    assert "**" not in original


@pytest.mark.parametrize("name", ["<b>x</b>|y_z", r"a&b%c$d#e{f}~g^h\i"])
def test_hostile_names_stay_text(name: str, tmp_path: Path) -> None:
    rows = example()
    rows["title"] = rows["title"].replace("WEAK", name)
    board = board_of(rows)
    text = leaderboards_markdown([board])
    lines = [line.replace(r"\|", "") for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert "<b>" not in text
    compile_latex(latex_leaderboard(board), tmp_path)


def compile_latex(body: str, folder: Path | None) -> str:
    """Compile with a TeX engine where there is one, check braces everywhere; return its log."""
    plain = body.replace(r"\{", "").replace(r"\}", "")
    assert plain.count("{") == plain.count("}")
    engine = shutil.which("tectonic") or shutil.which("pdflatex")
    if engine is None or folder is None:
        return ""
    document = (
        "\\documentclass[twocolumn]{article}\\usepackage{booktabs,tabularx}\n"
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
    return done.stdout


def test_the_latex_leaderboard_compiles(smoke: SmokeRun, tmp_path: Path) -> None:
    text = (smoke.out / "report" / "leaderboard.tex").read_text(encoding="utf-8")
    compile_latex(text, None)
    if shutil.which("pdflatex") is None:
        pytest.skip("no TeX engine here")
    assert "Overfull" not in compile_latex(text, tmp_path)


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
    found = [(facts, arrays) for facts, arrays, _ in galleries(smoke.out)]
    assert {facts["attack"] for facts, _ in found} >= {"original", "dhta", "prosgan"}
    assert len({arrays["rows"].tobytes() for _, arrays in found}) == 1, "the same queries"
    for facts, arrays in found:
        change = arrays["adversarial"].astype(int) - arrays["query"].astype(int)
        if facts["attack"] == "original":
            assert not change.any()
            assert (arrays["before_hits"] == arrays["after_hits"]).all()
            assert (arrays["before"] == arrays["after"]).all()
        elif facts["epsilon"] is not None:
            assert 0 < abs(change).max() <= 8
    drawn = list((smoke.out / "report" / "galleries").glob("*.png"))
    assert len(drawn) == sum(facts["budget_class"] != "reference" for facts, _ in found)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_a_new_column_appears_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up = replace(COLUMNS["perceptibility"], name="sharpness", title="sharpness")
    made_up = replace(made_up, unit="%", scale=100, format=".1f", help="made up")
    monkeypatch.setitem(COLUMNS, "sharpness", made_up)
    monkeypatch.setitem(DTYPES, "sharpness", "float64")
    with unsynced():
        write_run(
            tmp_path,
            [
                cell(attack, "DPSH-X-12", mean, measured={"sharpness": sharpness})
                for attack, mean, sharpness in (("dhta", 0.7, 0.123), ("p2p", 0.5, 0.456))
            ],
        )
        report = write_report([tmp_path])
    for name in ("leaderboard.md", "leaderboard.tex", "index.html"):
        text = (report.folder / name).read_text(encoding="utf-8")
        text = text.replace("\\%", "%").replace(r"\\", " ")  # headings of LaTeX are folded
        assert "sharpness (%)" in text
        assert "12.3" in text
        assert "45.6" in text
        assert "made up" in text
    page = (report.folder / "index.html").read_text(encoding="utf-8")
    assert page.count('data-n="sharpness"') == 2, "a column of the table of all cells"
    assert pd.read_csv(tmp_path / "results.csv")["sharpness"].tolist() == [0.123, 0.456]
    assert (report.folder / "figures" / "t_map_against_sharpness.svg").is_file()


def test_a_backbone_with_a_dash_is_shown_right_everywhere(tmp_path: Path) -> None:
    source = "DPSH-ViT-B16-12"
    cells = [
        cell("dhta", source, 0.7),
        cell("dhta", "DPSH-ViT-B16-32", 0.8),
        cell("dhta", "DPSH-VGG11-12", 0.5),
    ]
    with unsynced():
        write_run(tmp_path, cells, tables=("time",))
        folder = write_report([tmp_path]).folder
    board = (folder / "leaderboard.md").read_text(encoding="utf-8")
    assert f"| {source} " in board
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "DPSH-ViT-B16, 12 bits" in re.sub(r"<[^>]*>", "", page)
    (backbones,) = re.findall(r'name="backbone">(.*?)</select>', page, re.DOTALL)
    assert re.findall(r">([\w-]+)</option>", backbones) == ["all", "ViT-B16", "VGG11"]
    table = (folder / "tables.md").read_text(encoding="utf-8")
    assert "ViT-B16<br>32" in table
    bits = (folder / "figures" / "t_map_against_bits.svg").read_text(encoding="utf-8")
    assert ">DPSH-ViT-B16<" in bits
