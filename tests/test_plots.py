"""What is drawn: percent, intervals, orders, names that do not cover each other, styles, files."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from hashattack.benchmark.columns import COLUMNS
from hashattack.reports.leaderboard import Board, leaderboards
from hashattack.reports.names import Names
from hashattack.reports.pictures import INK, LINE, PAPER, QUIET
from hashattack.reports.plots.bars import measured_minus_published, rows_size, side_by_side
from hashattack.reports.plots.curves import code_lengths, end_margins, loss_curves, retrieval, sweep
from hashattack.reports.plots.forest import forest, forest_rows, forest_summary, levels
from hashattack.reports.plots.labels import label_points, spread
from hashattack.reports.plots.panels import WIDTH, Chart, Panel, cost_axis, draw
from hashattack.reports.plots.styles import PlotStyles
from hashattack.reports.plots.theme import HUES, theme
from hashattack.reports.plots.trade_off import trade_off
from hashattack.reports.plots.transfer import matrix_size, side_name, transfer_map
from hashattack.reports.results import Runs
from hashattack.reports.uncertainty import Uncertainty
from tests.fake_runs import cell, frame, row, unsynced, write_run

T_MAP = COLUMNS["t_map"]
POINTS = pd.DataFrame(
    {
        **{"panel": "A-12", "label": ["ORIGINAL", "DHTA", "P2P"], "chance": 0.25},
        **{"role": ["no-attack", "standard", ""], "score": [0.3, 0.7, 0.5], "bits": 12},
        **{
            "low": [0.28, 0.66, 0.47],
            "high": [0.32, 0.74, 0.53],
            "perceptibility": [0, 0.02, 0.03],
        },
        **{"alpha": [5, 10, 50], "no_attack": 0.3},
    }
)


def styles_of(rows: pd.DataFrame) -> PlotStyles:
    return PlotStyles(rows, Names(rows))


@pytest.fixture
def styles() -> PlotStyles:
    return styles_of(frame([row(name, "A-12", 0.5) for name in ("original", "dhta", "p2p")]))


def drawn(panel: Panel) -> Axes:
    axis = Figure(figsize=(4, 3), dpi=72).subplots()
    panel.draw(axis)
    return axis


def heights(axis: Axes) -> list[list[float]]:
    return [np.asarray(line.get_ydata()).tolist() for line in axis.lines]


def texts(axis: Axes) -> list[str]:
    return [text.get_text() for text in axis.texts]


def boxes(axis: Axes) -> list[Bbox]:
    """Return where texts are, without the leaders to what they name."""
    axis.get_figure(root=True).draw_without_rendering()  # type: ignore[union-attr]
    return [Text.get_window_extent(text) for text in axis.texts]


def board_of(tmp_path: Path, cells: list[dict[str, Any]]) -> Board:
    with unsynced():
        write_run(tmp_path, cells)
    runs = Runs([tmp_path])
    (board,) = leaderboards(runs.results, Names(runs.cells), Uncertainty(runs))
    return board


def test_the_forest_has_the_order_of_the_board(tmp_path: Path) -> None:
    cells = [cell(name, "A-12", mean) for name, mean in (("p2p", 0.5), ("dhta", 0.8))]
    cells += [cell("loud", "A-12", 0.9, budget_class="unbounded"), cell("late", "A-12", None)]
    cells += [cell("original", "A-12", 0.3, budget_class="reference")]
    cells += [cell("noise", "A-12", 0.3, budget_class="reference")]
    board = board_of(tmp_path, cells)
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
    spans = [np.asarray(line.get_xdata()).tolist() for line in figure.axes[0].lines]
    assert list(dhta.interval or ()) in spans
    low, high = figure.axes[0].get_xlim()
    assert 0 < low < levels(board)["chance"] < 90 < high <= 100.5
    summary = forest_summary(board, {})
    assert f"L∞ ≤ 8/255: highest dhta with {dhta.value:.1f} %" in summary


def test_a_forest_shows_partial_results_as_such(tmp_path: Path) -> None:
    cells = [cell("dhta", source, 0.6) for source in ("A-12", "B-12")]
    board = board_of(tmp_path, [*cells, cell("p2p", "A-12", 0.5)])
    ((_, (dhta, p2p)),) = forest_rows(board, {})
    assert (dhta.complete, p2p.complete, p2p.rank) == (True, False, "")
    dots = [line for line in forest(board, {}).axes[0].lines if line.get_marker() == "o"]
    assert [dot.get_markerfacecolor() == PAPER for dot in dots] == [False, True]


def test_trade_offs_are_in_percent_with_intervals_and_a_zoomed_axis(styles: PlotStyles) -> None:
    (panel,) = trade_off(POINTS, styles, COLUMNS["perceptibility"], T_MAP)
    axis = drawn(panel)
    assert panel.y_label == "t-MAP in percent"
    assert [66.0, 74.0] in heights(axis)
    assert [25.0, 25.0] in heights(axis), "chance"
    assert sorted(texts(axis)) == ["DHTA", "P2P"], "no attack is a level"
    assert axis.get_legend_handles_labels()[1] == ["chance", "no attack", "Pareto front"]
    low, high = axis.get_ylim()
    assert 15 < low < 25
    assert 74 < high < 85


def test_curves_are_in_percent_with_intervals(styles: PlotStyles) -> None:
    both = pd.concat([POINTS, POINTS.assign(bits=32)])
    axis = drawn(code_lengths(both, styles, T_MAP)[0])
    assert [70.0, 70.0] in heights(axis)
    paths = [path for one in axis.collections for path in one.get_paths()]
    bars = [np.asarray(path.vertices)[:, 1] for path in paths]
    assert np.any(np.isclose(bars, [66.0, 74.0]).all(axis=1))
    assert set(texts(axis)) == {"ORIGINAL", "DHTA", "P2P"}
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["12", "32"]

    swept = sweep(POINTS.assign(label="A-12"), "alpha")
    axis = drawn(swept[0])
    assert [30.0, 70.0, 50.0] in heights(axis)
    assert axis.get_xlabel() == "alpha, log scale"
    assert [panel.title for panel in swept] == ["t-MAP", "perceptibility"]

    curve = pd.DataFrame({"panel": "A-12", "label": "DHTA", "top": [1, 10, 100]})
    curve = curve.assign(precision=[0.9, 0.8, 0.4], recall=[0.1, 0.5, 1.0])
    axis = drawn(retrieval(curve, styles, "recall")[0])
    assert heights(axis) == [[90.0, 80.0, 40.0]]
    assert axis.get_xlabel() == "recall in percent"
    assert drawn(retrieval(curve, styles, "top")[0]).get_xlabel().endswith("log scale")

    losses = {"label": "DHTA", "source": "A-12", "attack_seed": 0, "loss": "hash"}
    axis = drawn(loss_curves(pd.DataFrame({**losses, "epoch": [1, 2], "value": [3, 1]}), styles)[0])
    assert heights(axis) == [[3, 1]]
    assert texts(axis) == ["A-12"]
    (box,) = boxes(axis)
    assert box.x0 == pytest.approx(axis.bbox.x1 + 8, abs=1), "beside its line's end"
    assert (box.y0 + box.y1) / 2 == pytest.approx(axis.transData.transform((2, 1))[1], abs=2)


def test_bars_start_at_zero(styles: PlotStyles) -> None:
    axis = drawn(side_by_side(POINTS, styles)[0])
    assert axis.get_xlim()[0] == 0
    bars = [bar.get_width() for bar in axis.patches if isinstance(bar, Rectangle)]
    assert bars == pytest.approx([30, 70, 50])
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["ORIGINAL", "DHTA", "P2P"]
    found = pd.DataFrame({"metric": "t-MAP (points)", "attack": "DHTA", "difference": [1.0, 3.0]})
    axis = drawn(measured_minus_published(found, styles)[0])
    assert [2.0] in [np.asarray(line.get_xdata()).tolist() for line in axis.lines], "the mean"


def test_transfer_is_written_into_its_cells(styles: PlotStyles) -> None:
    one, two = "A-12", "B-12"
    keys = {"dataset": "digits", "protocol": "released", "policy": "frequent", "label": "DHTA"}
    points = pd.DataFrame({**keys, "source": one, "victim": [one, two], "score": [0.8, 0.6]})
    points = points.assign(gain=[0.5, -0.1])
    (panel,) = transfer_map(points, styles, "score", T_MAP)
    assert texts(drawn(panel)) == ["80", "60"]
    assert len(drawn(panel).patches) == 1, "the white box is outlined"
    assert texts(drawn(transfer_map(points, styles, "gain", T_MAP)[0])) == ["+50", "-10"]


def test_hashers_together_are_a_row_with_a_line_for_each(styles: PlotStyles) -> None:
    together = "A-12+B-12"
    keys = {"dataset": "digits", "protocol": "released", "policy": "frequent", "label": "DHTA"}
    points = pd.DataFrame({**keys, "source": ["C-12", together], "victim": "C-12"})
    points = points.assign(score=[0.8, 0.6], gain=0.1)
    axis = drawn(transfer_map(points, styles, "score", T_MAP)[0])
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["C-12", "A-12 +\nB-12"]
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["C-12"]
    assert len(axis.patches) == 1, "nothing of an ensemble is a white box"
    height, margins = matrix_size(points)
    width = WIDTH - margins.left - margins.right
    assert height - margins.top - margins.bottom == pytest.approx(2 * width)
    assert side_name("A-12+B-12+C-12+D-12") == "A-12 +\nB-12 +\nand 2 more"


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([0.003, 0.3], ["0.005", "0.01", "0.02", "0.05", "0.1", "0.2"]),
        ([3, 60], ["5", "10", "20", "50"]),
        ([1e-5, 10], ["0.0001", "0.001", "0.01", "0.1", "1", "10"]),
    ],
)
def test_a_logarithmic_axis_is_named_and_has_round_labels(
    values: list[float], wanted: list[str]
) -> None:
    axis = Figure().subplots()
    cost_axis(axis, "passes", values)
    low, high = axis.get_xlim()
    ticks = [tick for tick in axis.get_xticks() if low <= tick <= high]
    assert [axis.xaxis.get_major_formatter()(tick) for tick in ticks][-len(wanted) :] == wanted
    assert axis.get_xlabel() == "passes, log scale"


@pytest.mark.parametrize("values", [[0.0015, 0.0021], [5.0, 5.0]])
def test_an_axis_of_close_values_is_linear(values: list[float]) -> None:
    axis = Figure().subplots()
    cost_axis(axis, "passes", values)
    assert (axis.get_xscale(), axis.get_xlabel()) == ("linear", "passes")
    assert axis.get_xlim()[0] < values[0] <= values[1] < axis.get_xlim()[1]


def test_names_do_not_cover_each_other() -> None:
    axis = Figure(figsize=(4, 3), dpi=72).subplots()
    axis.set(xlim=(0, 1), ylim=(0, 1))
    crowd = [(0.5 + 0.01 * n, 0.5 + 0.012 * (n % 3), f"attack {n}") for n in range(9)]
    label_points(axis, [*crowd, (0.99, 0.9, "at the edge")])
    for one, other in itertools.combinations(boxes(axis), 2):
        assert not one.overlaps(other)
    for box in boxes(axis):
        assert axis.bbox.x0 <= box.x0
        assert box.x1 <= axis.bbox.x1
    first = next(text for text in axis.texts if text.get_text() == "at the edge")
    assert isinstance(first, Annotation)
    assert first.arrow_patch is None, "a name beside its point needs no leader"


def test_places_are_spread_as_little_as_needed() -> None:
    assert spread([1.0, 30.0, 12.0], 10) == pytest.approx([1, 30, 12])
    assert spread([10.0, 10.0, 10.0], 4) == pytest.approx([6, 10, 14])


def test_each_attack_has_a_look_of_its_own() -> None:
    plain = [row(f"attack{n}", "A-12", 0.5) for n in range(10)]
    plain += [row(name, "A-12", 0.5) for name in ("original", "noise", "prototype-code")]
    found = styles_of(frame(plain)).by_label.values()
    assert len({one.marker for one in found}) == len(plain)
    assert len({(one.colour, one.dashes) for one in found}) == len(plain)
    several = [
        row("dhta", "A-12", 0.5, params=f'{{"steps":{n}}}', variant=f"steps={n}") for n in (5, 9)
    ]
    by_label = styles_of(frame([*several, row("mine", "A-12", 0.5)])).by_label
    one, two, mine = by_label["DHTA (steps=5)"], by_label["DHTA (steps=9)"], by_label["MINE"]
    assert (one.colour, one.marker) == (two.colour, two.marker) != (mine.colour, mine.marker)
    assert one.fill != two.fill
    assert one.dashes != two.dashes


def test_long_settings_have_short_names_in_figures() -> None:
    variants = ("steps=20, rule=l2", "steps=100, rule=l2")
    params = ['{"steps":20,"rule":"l2"}', '{"steps":100,"rule":"l2"}']
    pairs = zip(variants, params, strict=True)
    several = [row("dhta", "A-12", 0.5, variant=text, params=given) for text, given in pairs]
    styles = styles_of(frame([*several, row("mine", "A-12", 0.5)]))
    assert styles.settings == {"DHTA a": variants[0], "DHTA b": variants[1]}
    assert styles.name("DHTA (steps=100, rule=l2)") == "DHTA b"
    assert styles.settings_of(["DHTA b", "MINE"]) == [("DHTA b", variants[1])]


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_colours_can_be_seen_on_light_and_dark_pages() -> None:
    css = (Path(__file__).parents[1] / "reports/templates/page.css").read_text(encoding="utf-8")
    light, dark = (
        dict(re.findall(r"--(\w+): (#\w+)", block))
        for block in re.split(r"@media", css, maxsplit=2)[:2]
    )
    for page in (light, dark):
        paper = PAPER if page["paper"] == "#fff" else page["paper"]
        assert min(contrast(hue, paper) for hue in HUES) >= 3
        assert min(contrast(page[name], paper) for name in ("ink", "quiet")) >= 4.5


def test_files_hold_text_and_the_page_its_colours(styles: PlotStyles, tmp_path: Path) -> None:
    panels = trade_off(POINTS, styles, COLUMNS["perceptibility"], T_MAP)
    chart = Chart("one", "One", "what is <seen>", "how to read it", panels, labels=["DHTA"])
    with unsynced():
        picture = draw(chart, styles, tmp_path)
    svg, pdf = picture.files
    assert ">DHTA</text>" in svg.read_text(encoding="utf-8")
    assert INK in svg.read_text(encoding="utf-8")
    fonts = set(re.findall(rb"/Subtype */(Type3|TrueType|CIDFontType2)", pdf.read_bytes()))
    assert fonts
    assert b"Type3" not in fonts
    markup = str(picture.markup)
    assert 'role="img" aria-label="what is &lt;seen&gt;"' in markup
    assert "var(--ink)" in markup
    assert not re.search(f"{INK}|{QUIET}|{LINE}|{PAPER}", markup)
    assert "font-family" not in markup
    assert markup.count("<svg") == 2, "a panel and the legend"


def test_long_names_leave_room_for_what_they_name(styles: PlotStyles) -> None:
    long = "a name that is longer than a figure is wide, " * 3
    points = pd.DataFrame({"source": [long], "victim": [long]})
    for margins in (end_margins([long]), matrix_size(points)[1], rows_size([long])[1]):
        assert WIDTH - margins.left - margins.right > 1.5
    assert styles.name(long).endswith("…")
    assert long.startswith(styles.name(long)[:-1])


def test_text_is_never_a_formula(tmp_path: Path) -> None:
    def write(axis: Axes) -> None:
        axis.set_xlabel("costs $a_b$ more")

    with theme(), unsynced():
        picture = draw(
            Chart("one", "One", "seen", "read", [Panel("a panel", write)]),
            styles_of(frame([row("dhta", "A-12", 0.5)])),
            tmp_path,
        )
    assert "costs $a_b$ more" in picture.files[0].read_text(encoding="utf-8")
