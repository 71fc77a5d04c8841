"""The figures of a report: what each shows, from the table of results; each as SVG and PDF."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd

from hashattack.benchmark.columns import COLUMNS, Column
from hashattack.benchmark.names import counted
from hashattack.reports import points as data
from hashattack.reports.captions import protocol_text
from hashattack.reports.grids import differences
from hashattack.reports.leaderboard import Board
from hashattack.reports.names import Names
from hashattack.reports.pictures import Picture
from hashattack.reports.plots import bars, curves, transfer
from hashattack.reports.plots.forest import NARROW, WIDE, forest, forest_rows, forest_summary
from hashattack.reports.plots.panels import Chart, draw
from hashattack.reports.plots.styles import PlotStyles
from hashattack.reports.plots.theme import save, svg, theme
from hashattack.reports.plots.trade_off import trade_off
from hashattack.reports.published import papers
from hashattack.reports.results import Runs
from hashattack.reports.uncertainty import Uncertainty

mpl.use("Agg")

_FOREST = (
    "A line an attack, from the best within its budget down: the dot is its mean over hashers and "
    "queries, the bar its 95 % interval; blue leads its budget. = marks a shared rank: not "
    "significantly different from the best of this rank.{} The axis does not start at zero."
)
_PARTIAL = " An open dot is a mean over some of the hashers only."
_POINTS = (
    "A point an attack, with the 95 % interval of its mean t-MAP. No attack further left reaches "
    "the t-MAP of those on the Pareto front.{} The axes do not start at zero."
)
_TRAINING = Column("seconds", kind="cost", title="seconds per image, training included")


def draw_figures(
    runs: Runs, names: Names, boards: Sequence[Board], uncertainty: Uncertainty, folder: Path
) -> list[Picture]:
    """Draw every figure that boards, results, loss and retrieval curves allow: SVG and PDF."""
    results, losses, retrieved = (
        rows.assign(label=names.labels(rows)) if len(rows) else rows
        for rows in (runs.results, runs.losses, runs.curves)
    )
    retrieved = data.comparable(retrieved)
    if len(results):
        protocols = results.groupby("protocol")
        texts = {name: protocol_text(rows.to_dict("records")) for name, rows in protocols}
        results, retrieved = (rows.replace({"protocol": texts}) for rows in (results, retrieved))
    styles = PlotStyles(runs.cells, names)
    charts = [
        *_trade_offs(data.comparable(results), styles, uncertainty),
        *_of_hashers(data.comparable(results), styles, uncertainty),
        *_retrieval(retrieved, styles),
        *_of_papers(results, names, styles, uncertainty),
        *_losses(losses, styles),
    ]
    return [*_forests(boards, styles, folder), *(draw(chart, styles, folder) for chart in charts)]


def _forests(boards: Sequence[Board], styles: PlotStyles, folder: Path) -> Iterator[Picture]:
    for number, board in enumerate(boards, start=1):
        groups = list(forest_rows(board, styles.short))
        if not groups:
            continue
        shown = [row for _, rows in groups for row in rows]
        partial = "" if all(row.complete for row in shown) else _PARTIAL
        name = f"forest-{number}" if number > 1 else "forest"
        with theme():
            files = save(forest(board, styles.short, WIDE), folder / name)
            narrow = svg(forest(board, styles.short, NARROW), f"{name}-narrow")
        yield Picture(
            name,
            f"Mean t-MAP on {board.dataset}, {board.protocol}",
            files,
            summary=forest_summary(board, styles.short),
            reading=_FOREST.format(partial),
            narrow=narrow,
            settings=styles.settings_of(row.label for row in shown),
        )


def _trade_offs(
    results: pd.DataFrame, styles: PlotStyles, uncertainty: Uncertainty
) -> Iterator[Chart]:
    """Yield t-MAP against each column that figures are drawn of, and against time with training."""
    good = data.white_box(results)
    shown = [column for column in COLUMNS.values() if "figures" in column.tables]
    for column in [*shown, _TRAINING]:
        known = good
        title, more = f"t-MAP against {column.title}", ""
        if column is _TRAINING:
            known = good.assign(seconds=data.with_training(good))
            title = "t-MAP against seconds per image with training, spread over the queries"
            more = " With more queries, attacks that train move left."
        more += _without(known, column, styles)
        own = data.trade_off_rows(known, column)
        if not (own["role"] != "no-attack").any():
            continue
        points = data.means(
            own.assign(panel=data.panel_names(own)), ["t_map", column.name], uncertainty
        )
        top = _highest(points)
        yield Chart(
            f"t_map_against_{'training' if column is _TRAINING else column.name}",
            title,
            f"{_seen(points, styles)}, at {top[column.name]:.3g} {column.title}",
            _POINTS.format(more),
            trade_off(points, styles, column),
            labels=tuple(points["label"]),
            height=3.3,
        )


def _without(good: pd.DataFrame, column: Column, styles: PlotStyles) -> str:
    """Return which attacks have no value of a column, as a sentence."""
    own = good[good["targeted"].fillna(False) & ~good["code_only"].fillna(False)]
    lacking = own.groupby("label", sort=False)[column.name].count()
    names = ", ".join(styles.name(str(label)) for label in lacking.index[lacking == 0])
    return f" Without known {column.title}: {names}." if names else ""


def _of_hashers(
    results: pd.DataFrame, styles: PlotStyles, uncertainty: Uncertainty
) -> Iterator[Chart]:
    """Yield t-MAP against code length, and transfer matrices."""
    own = data.bits_rows(data.white_box(results))
    if len(own):
        panels = data.panel_names(own.assign(source=data.hashers(own)))
        own = own.assign(panel=panels, bits=own["source_bits"].astype(int))
        points = data.means(own, ["t_map"], uncertainty, ["bits"])
        yield Chart(
            "t_map_against_bits",
            "t-MAP against code length",
            f"{_seen(points, styles)}, at {_highest(points)['bits']} bits",
            "A line an attack, its 95 % intervals as vertical strokes; intervals at one code "
            "length stand side by side. The axes do not start at zero.",
            curves.code_lengths(points, styles),
            labels=tuple(points["label"]),
            height=3.6,
            margins=curves.end_margins([styles.name(label) for label in points["label"]]),
        )
    matrix = data.transfer_points(results)
    gains = matrix[matrix["gain"].notna()]
    reading = "Rows are the hashers that were attacked, columns those that were queried; "
    reading += "white-box cells are outlined."
    for name, title, value, points in (
        ("transfer", "Transfer: t-MAP by source and victim", "t_map", matrix),
        ("transfer_gain", "Transfer: gain over no attack on the victim", "gain", gains),
    ):
        crossing = points[points["source"] != points["victim"]]
        if len(crossing):
            height, margins = transfer.matrix_size(points)
            top = _largest(crossing, value)
            unit = "%" if value == "t_map" else "points"
            yield Chart(
                name,
                title,
                f"{counted(points['label'].nunique(), 'attack')} between "
                f"{counted(len(transfer.sides(points)), 'hasher')}; the highest value to another "
                f"hasher is {100 * top[value]:.1f} {unit} ({styles.name(top['label'])} from "
                f"{top['source']} to {top['victim']})",
                reading,
                transfer.transfer_map(points, styles, value),
                labels=tuple(points["label"]),
                height=height,
                margins=margins,
            )


def _retrieval(own: pd.DataFrame, styles: PlotStyles) -> Iterator[Chart]:
    """Yield precision over recall and over the length of the result list."""
    if not len(own):
        return
    points = data.curve_points(own)
    first = points[points["top"] == points["top"].min()]
    top = _largest(first, "precision")
    summary = (
        f"{counted(points['label'].nunique(), 'attack')} on "
        f"{counted(points['panel'].nunique(), 'hasher')}; the highest precision of the first "
        f"result is {100 * top['precision']:.1f} % ({styles.name(top['label'])} on {top['panel']})"
    )
    for name, title, x in (
        ("precision_recall", "Precision and recall for the target label", "recall"),
        ("precision_at_top", "Precision for the target label in the top-k", "top"),
    ):
        yield Chart(
            name,
            title,
            summary,
            "A line an attack, its mean over queries. The precision axis does not start at zero.",
            curves.retrieval(points, styles, x),
            labels=tuple(points["label"]),
        )


def _of_papers(
    results: pd.DataFrame, names: Names, styles: PlotStyles, uncertainty: Uncertainty
) -> Iterator[Chart]:
    """Yield the figures of papers, and how far results are from published ones."""
    comparable = data.comparable(results)
    for layout in (layout for paper in papers() for layout in paper.figures):
        if layout.over:
            own = data.sweep_rows(comparable, layout)
            if not len(own):
                continue
            lines = data.panel_names(own)
            columns = ["t_map", "perceptibility", "no_attack"]
            points = data.means(
                own.assign(panel=lines, label=lines), columns, uncertainty, [layout.over]
            )
            top = _highest(points)
            yield Chart(
                layout.id,
                layout.title,
                f"{counted(points['label'].nunique(), 'hasher')}; the highest t-MAP is "
                f"{100 * top['t_map']:.1f} % ({top['label']}, {layout.over} {top[layout.over]:g})",
                "A line a hasher; bands are 95 % intervals. The axes do not start at zero.",
                curves.sweep(points, layout.over),
                margins=curves.end_margins(list(points["label"])),
            )
        else:
            own = data.side_by_side_rows(comparable, layout)
            if not len(own):
                continue
            points = data.means(own.assign(panel=data.panel_names(own)), ["t_map"], uncertainty)
            height, margins = bars.rows_size(
                [styles.name(label) for label in dict.fromkeys(points["label"])]
            )
            yield Chart(
                layout.id,
                layout.title,
                _seen(points, styles),
                "Bars start at zero; strokes are 95 % intervals.",
                bars.side_by_side(points, styles),
                labels=tuple(points["label"]),
                height=height,
                margins=margins,
            )
    parts = [differences(results, paper, names) for paper in papers()]
    found = pd.concat(parts, ignore_index=True)
    if len(found):
        height, margins = bars.rows_size(list(dict.fromkeys(found["attack"])))
        far = _largest(found.assign(size=found["difference"].abs()), "size")
        yield Chart(
            "measured_minus_published",
            "Measured minus published",
            f"{counted(len(found), 'number')} of {counted(found['attack'].nunique(), 'attack')}; "
            f"the largest difference is {far['difference']:+.2f} "
            f"({far['attack']}, {far['metric']})",
            "A stroke a number of the paper, a diamond their mean; left of zero we measured less.",
            bars.measured_minus_published(found, styles),
            height=height,
            margins=margins,
        )


def _losses(losses: pd.DataFrame, styles: PlotStyles) -> Iterator[Chart]:
    points = data.loss_points(losses) if len(losses) else losses
    if len(points):
        yield Chart(
            "loss_curves",
            "Losses of generators in training",
            f"{counted(points['label'].nunique(), 'attack')} on "
            f"{counted(points['source'].nunique(), 'hasher')}, {points['epoch'].max()} epochs at "
            "most",
            "A line a training, named by its hasher; each loss has an axis of its own.",
            curves.loss_curves(points, styles),
            labels=tuple(points["label"]),
            margins=curves.end_margins(list(points["source"])),
        )


def _highest(points: pd.DataFrame) -> dict[str, Any]:
    """Return the attack's point with the highest t-MAP."""
    return _largest(points[points["role"] != "no-attack"], "t_map")


def _largest(points: pd.DataFrame, column: str) -> dict[str, Any]:
    """Return the first row that has the largest value of a column."""
    (row,) = points.nlargest(1, column).to_dict("records")
    return {str(name): value for name, value in row.items()}


def _seen(points: pd.DataFrame, styles: PlotStyles) -> str:
    """Return how much there is to see, and the highest t-MAP."""
    attacks, top = points[points["role"] != "no-attack"], _highest(points)
    return (
        f"{counted(attacks['label'].nunique(), 'attack')} on "
        f"{counted(points['panel'].nunique(), 'hasher')}; the highest t-MAP is "
        f"{100 * top['t_map']:.1f} % ({styles.name(top['label'])} on {top['panel']})"
    )
